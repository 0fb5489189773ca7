"""Rules of the house that are cheap to state and easy to forget, so a test keeps them.

They hold for the product's three rooms; the last ones also for the tests themselves.  A rule is
changed here, with its reason, or not at all.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["proto/opentrail", "agent/opentrail_agent", "aggregator/opentrail_aggregator"]
LINES_MAX = 400
# A name that says nothing about what lies inside grows without end.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}
# Reading the clock or waiting goes through `Clock`, so tests move time by hand.
CLOCK_CALLS = {
    ("time", "time"), ("time", "time_ns"), ("time", "sleep"), ("time", "monotonic"),
    ("time", "monotonic_ns"), ("time", "perf_counter"),
    ("asyncio", "sleep"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"),
    ("date", "today"),
}  # fmt: skip
# The order of these calls is what a power cut tests, so they live in one module.
DURABLE_CALLS = {
    ("os", name)
    for name in ("fsync", "fdatasync", "sync", "replace", "rename", "renames", "link", "symlink")
}
# The same by way of pathlib; `rename` is fine on what implements `Files`.
DURABLE_METHODS = {"rename", "symlink_to", "hardlink_to"}
FILES_NAMES = {"files", "_files", "DISK", "disk"}
MACHINE_PATHS = re.compile(r"/work/|/tmp/plan|/home/[a-z]|/root/|/Users/[A-Za-z]")


def product_modules() -> list[Path]:
    return [
        path
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if "_pb2" not in path.name
    ]


def test_modules() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


test_modules.__test__ = False  # type: ignore[attr-defined]

PRODUCT = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in product_modules()]
TESTS = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in test_modules()]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def calls(module: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Every `name.attribute` that is called or handed on, with its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = (
                owner.id if isinstance(owner, ast.Name)
                else owner.attr if isinstance(owner, ast.Attribute) else ""
            )  # fmt: skip
            yield name, node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.module or "", alias.name, node.lineno


def found(path: Path, forbidden: set[tuple[str, str]]) -> list[str]:
    place = path.relative_to(ROOT)
    return [
        f"{place}:{line}: {owner}.{name}"
        for owner, name, line in calls(tree(path))
        if (owner, name) in forbidden
    ]


def test_the_rooms_are_found() -> None:
    assert len(PRODUCT) > 20, "the tidy tests look at nothing: have the rooms moved?"


@pytest.mark.parametrize("path", PRODUCT)
def test_a_module_stays_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LINES_MAX, f"{lines} lines: split it by what it does"


@pytest.mark.parametrize("path", PRODUCT)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().strip() == "" or ast.get_docstring(tree(path)), "no module docstring"


@pytest.mark.parametrize("path", PRODUCT)
def test_a_name_says_what_lies_inside(path: Path) -> None:
    parts = {part.removesuffix(".py").strip("_") for part in path.relative_to(ROOT).parts}
    assert not parts & EMPTY_NAMES


@pytest.mark.parametrize("path", PRODUCT)
def test_only_the_clock_knows_the_time(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() == "proto/opentrail/clock.py":
        return
    assert found(path, CLOCK_CALLS) == [], "take an opentrail.clock.Clock"


@pytest.mark.parametrize("path", PRODUCT)
def test_only_one_module_makes_things_durable(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() == "proto/opentrail/files.py":
        return
    methods = [
        f"line {line}: {owner}.{name}"
        for owner, name, line in calls(tree(path))
        if name in DURABLE_METHODS and owner not in FILES_NAMES
    ]
    assert found(path, DURABLE_CALLS) + methods == [], "use opentrail.files"


@pytest.mark.parametrize("path", PRODUCT)
def test_no_error_is_swallowed_in_silence(path: Path) -> None:
    silent = []
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            silent.append(f"line {node.lineno}: a bare except also takes a cancellation")
        body = node.body[0]
        empty = isinstance(body, ast.Pass) or (
            isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant)
        )
        if len(node.body) == 1 and empty:
            silent.append(f"line {node.lineno}: say why nothing is done, by contextlib.suppress")
    assert silent == []


@pytest.mark.parametrize("path", PRODUCT + TESTS)
def test_nothing_depends_on_one_machine(path: Path) -> None:
    if path == Path(__file__).resolve():
        return
    assert MACHINE_PATHS.findall(path.read_text()) == []


@pytest.mark.parametrize("path", TESTS)
def test_our_own_code_is_never_patched(path: Path) -> None:
    patches = {("mock", "patch"), ("unittest.mock", "patch"), ("unittest", "mock")}
    assert found(path, patches) == [], "take a fake through the constructor"


@pytest.mark.parametrize("path", TESTS)
def test_system_tests_import_nothing_of_the_product(path: Path) -> None:
    if "system" not in path.relative_to(ROOT / "tests").parts:
        return
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree(path))
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert not imported & {"opentrail", "opentrail_agent", "opentrail_aggregator"}


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in test_modules()}
    assert [str(each) for each in folders if not (each / "__init__.py").exists()] == []
