"""docs/threat-model.md: each defence is shown by a test that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "threat-model.md").read_text()


def tests_of_the_tree() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.M)
    }


tests_of_the_tree.__test__ = False  # type: ignore[attr-defined]


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 60
    assert named - tests_of_the_tree() == set()


def test_every_row_of_a_defence_names_its_test() -> None:
    bare = []
    is_defended = False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            is_defended = False
        elif line.rstrip("| ").endswith("| test"):
            is_defended = True
        elif is_defended and "---" not in line and "`test_" not in line:
            bare.append(line)
    assert bare == []


def test_each_attacker_of_the_issue_has_a_part() -> None:
    parts = re.findall(r"^## (.+)$", PAGE, re.M)
    for part in ("A stolen agent key", "Root on the aggregator", "Somebody at the HTTP port"):
        assert part in parts
    assert "Not shown by anything on that machine" in PAGE


def test_how_to_report_a_hole_is_written_down() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "docs/threat-model.md" in text
    assert re.search(r"private vulnerability report", text)
