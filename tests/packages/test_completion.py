"""The completion scripts, run by a real bash."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opentrail.completion import completion_of
from opentrail_agent.__main__ import parser as agent
from opentrail_aggregator.cli.arguments import build_parser as person
from opentrail_aggregator.daemon import _parser as aggregator

PARSERS: list[Callable[[], argparse.ArgumentParser]] = [person, agent, aggregator]


def offered(parser: argparse.ArgumentParser, *typed: str) -> list[str]:
    """What bash offers after `typed`, whose last word is being typed."""
    name = parser.prog.replace("-", "_")
    words = " ".join(f"'{word}'" for word in (parser.prog, *typed))
    script = (
        completion_of(parser, "bash")
        + f"\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}\n_{name}_completes\n"
        + 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_are_offered_by_their_beginning() -> None:
    assert offered(person(), "loo") == ["lookup"]
    assert offered(agent(), "") == [
        "run", "validate", "settings", "enroll", "import", "pipe", "spool", "completion",
    ]  # fmt: skip


def test_commands_below_a_command_are_offered() -> None:
    assert offered(agent(), "spool", "") == ["status", "dump", "check", "rehome"]
    assert "list" in offered(person(), "quarantine", "")


def test_options_are_those_of_the_command() -> None:
    assert "--recount" in offered(person(), "status", "--")
    assert "--recount" not in offered(person(), "lookup", "--")
    assert offered(agent(), "spool", "dump", "--ev") == ["--events"]


def test_values_of_an_option_with_a_choice_are_offered() -> None:
    assert "jsonl" in offered(person(), "lookup", "--output", "")
    assert offered(agent(), "spool", "status", "--output", "j") == ["json"]


def test_elsewhere_the_shell_completes_files() -> None:
    assert offered(agent(), "import", "/va") == []
    assert offered(agent(), "run", "--config", "/va") == []


def test_what_is_not_for_people_is_not_offered() -> None:
    assert "role" not in offered(aggregator(), "")
    assert "--no-config" not in offered(aggregator(), "run", "--")


@pytest.mark.parametrize("parser", PARSERS, ids=["opentrail", "agent", "aggregator"])
def test_zsh_runs_the_script_of_bash(parser: Callable[[], argparse.ArgumentParser]) -> None:
    script = completion_of(parser(), "zsh")
    assert script.splitlines()[1] == "autoload -U +X bashcompinit && bashcompinit"
    assert script.splitlines()[2:] == completion_of(parser(), "bash").splitlines()[1:]


@pytest.mark.parametrize("command", ["opentrail", "opentrail-agent", "opentrail-aggregator"])
def test_the_command_prints_it(command: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / command), "completion", "bash"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"complete -o default -F _{command.replace('-', '_')}_completes {command}" in done.stdout
