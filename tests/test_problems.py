"""Every failure that is told has a line in the docs, an alert rule, and a test of both edges."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from opentrail_aggregator.consolidate import alarms
from tests.problems import AGENT_PROBLEMS, PROBLEMS, Told

ROOT = Path(__file__).resolve().parent.parent
AGGREGATOR, AGENT = ROOT / "aggregator", ROOT / "agent"
PAGE = (ROOT / "docs" / "operating.md").read_text()
ALERTS = yaml.safe_load((ROOT / "charts/opentrail/files/alerts.yaml").read_text())["alerts"]
MATCHER = re.compile(r'(role|key)(=~?)("(?:[^"\\]|\\.)*")')
HANDED_THROUGH = {"key", "error"}
"""Names of a first argument that its function's caller gave, or that is no key."""


def documented(heading: str) -> set[str]:
    """The keys in the first column of the table with this heading."""
    table = PAGE.partition(f"| {heading} | what to do |")[2].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def keys_in(node: ast.expr, constants: dict[str, str]) -> list[str]:
    """The keys that an argument may be; none if it is handed through from a caller."""
    match node:
        case ast.Constant(value=str(key)):
            return [key]
        case ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]):
            return [f"{begin}…"]
        case ast.IfExp(body=one, orelse=other):
            return keys_in(one, constants) + keys_in(other, constants)
        case ast.BoolOp(values=values):
            return [key for each in values for key in keys_in(each, constants)]
        case ast.Name() | ast.Attribute() if (name := ast.unparse(node)) in constants:
            return [constants[name]]
        case ast.JoinedStr(values=[ast.FormattedValue(value=first), ast.Constant(value=str(end))]):
            return [f"{begin}{end}" for begin in keys_in(first, constants)]
    return []


def told_in(path: Path) -> Iterator[str]:
    text = path.read_text()
    if "problem(" not in text.lower():
        return
    tree = ast.parse(text)
    constants = {
        name: key
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        for key in keys_in(node.value, {})
        if (name := ast.unparse(target)) == "key" or "problem" in name.lower()
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = ast.unparse(node.func)
        if called == "Problem":  # Of health itself; what roles told it only passes on.
            yield from keys_in(node.args[1], constants)
        elif called.endswith(("metrics.problem", "self._alarm", "self._fail")):
            found = keys_in(node.args[0], constants)
            is_handed = ast.unparse(node.args[0]) in HANDED_THROUGH
            assert found or is_handed, f"{path}:{node.lineno}: which key does it tell?"
            yield from found


def in_the_code() -> set[str]:
    keys = {key for path in sorted(AGGREGATOR.rglob("*.py")) for key in told_in(path)}
    return keys - {"alarm.…"} | {f"alarm.{reason}" for reason in alarms._ALARMING}


def test_the_list_is_what_the_code_tells() -> None:
    listed = [each.key for each in PROBLEMS]
    assert sorted(listed) == sorted(in_the_code())
    told = {key for path in sorted(AGENT.rglob("*.py")) for key in told_in(path)}
    assert sorted(each.key for each in AGENT_PROBLEMS) == sorted(told)


def test_the_docs_name_every_problem_and_no_other() -> None:
    assert {each.key for each in PROBLEMS} == documented("problem")
    assert {each.key for each in AGENT_PROBLEMS} == documented("problem of an agent")


def test_the_docs_say_which_problems_stand_until_a_start() -> None:
    said = PAGE.partition("until the process that tells it starts again:")[2].partition(
        "All others"
    )[0]
    named = set(re.findall(r"`([a-z][a-z0-9._-]+(?: …)?)`", said))
    assert named == {each.key for each in [*PROBLEMS, *AGENT_PROBLEMS] if each.until_start}


def covers(expression: str, role: str, key: str) -> bool:
    """Whether a rule over `opentrail_problem` speaks of this problem."""
    if not re.fullmatch(r"opentrail_problem(\{.*\})? == 1", expression):
        return False
    labels = {"role": role, "key": key}
    for label, operator, quoted in MATCHER.findall(expression):
        wanted = ast.literal_eval(quoted)
        value = labels[label]
        if not (re.fullmatch(wanted, value) if operator == "=~" else wanted == value):
            return False
    return True


@pytest.mark.parametrize("told", PROBLEMS, ids=lambda told: told.key)
def test_a_problem_raises_an_alert(told: Told) -> None:
    assert [each["alert"] for each in ALERTS if covers(each["expr"], told.role, told.key)]


def test_alerts_of_one_problem_name_problems_that_there_are() -> None:
    rules = [each["expr"] for each in ALERTS if "key" in each["expr"]]
    assert len(rules) > 2
    for rule in rules:
        assert any(covers(rule, each.role, each.key) for each in PROBLEMS), rule
    assert not covers(rules[0], "index", "log.full"), "it is another role's"


@cache
def functions_in(path: str) -> dict[str, str]:
    """Each function of a file with its text."""
    return {
        node.name: ast.unparse(node)
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("told", [*PROBLEMS, *AGENT_PROBLEMS], ids=lambda told: told.key)
def test_a_problem_has_a_test_that_sees_both_edges(told: Told) -> None:
    path, _, name = told.test.partition("::")
    assert name in functions_in(path), f"{path} has no {name}"
    named = [part.strip(". ") for part in told.key.split("…")]
    assert all(part in functions_in(path)[name] for part in named), (
        f"{name} does not speak of {told.key}"
    )
