"""What a person can set, type, read or be told is written down, or the build says what is not."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from opentrail.settings import describe_settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    "architecture.md", "formats.md", "search.md", "configuration.md", "operating.md",
    "performance.md", "opensearch.md", "dashboards.md",
]  # fmt: skip
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
MARKDOWN = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])


def text(name: str) -> str:
    return (DOCS / name).read_text()


def everything() -> str:
    return "\n".join(path.read_text() for path in MARKDOWN)


def commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, set[str]]]:
    """Each command below `parser` that has help, with its long options."""
    options: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helped = {each.dest for each in action._choices_actions}
            for word, child in action.choices.items():
                if word in helped:
                    yield from commands(child, f"{name} {word}")
        elif action.help is not argparse.SUPPRESS:
            options |= {each for each in action.option_strings if each.startswith("--")}
    yield name, options - {"--help", "--version"}


def undocumented(settings: type) -> list[str]:
    page = text("configuration.md")
    paths = [each.path for each in describe_settings(settings)]
    assert len(paths) > 5
    return [path for path in paths if f"`{path}`" not in page]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_there_and_says_something(name: str) -> None:
    assert len(text(name).split()) > 100


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    targets = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in targets if not (path.parent / link).exists()] == []


def test_every_setting_of_the_aggregator_is_documented() -> None:
    from opentrail_aggregator.config import AggregatorSettings

    assert undocumented(AggregatorSettings) == []


def test_every_setting_of_the_agent_is_documented() -> None:
    from opentrail_agent.config import AgentSettings

    assert undocumented(AgentSettings) == []


def test_every_metric_is_documented() -> None:
    from opentrail_aggregator.metrics import MetricName

    page = text("operating.md")
    assert [name for name in get_args(MetricName) if f"`{name}" not in page] == []


def test_every_command_and_option_is_documented() -> None:
    from opentrail_aggregator.cli.arguments import build_parser

    page = everything()
    found = dict(commands(build_parser(), "opentrail"))
    assert len(found) > 10
    options = {each for some in found.values() for each in some}
    assert [name for name in found if name not in page] == []
    assert [each for each in sorted(options) if each not in page] == []


def test_every_reason_for_quarantine_is_documented() -> None:
    from opentrail.record import REASONS

    page = text("operating.md")
    assert [reason for reason in sorted(REASONS) if f"`{reason}`" not in page] == []
