"""Globs lead to files without reading folders again that have not changed."""

import os
from pathlib import Path

import pytest

from opentrail.errors import ConfigError
from opentrail.settings import load_settings
from opentrail_agent.capture.census import HOT_SECONDS
from opentrail_agent.capture.harvest import MANY_FILES
from opentrail_agent.capture.paths import Paths, is_behind
from opentrail_agent.capture.recognise import family
from opentrail_agent.capture.settings import CaptureSettings

from .events import lines
from .rig import Rig


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.json", "b.log", ".hidden.json", "x/c.json", "x/y/d.json", "x/y/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.json").symlink_to(tmp_path / "x" / "c.json")
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nothing")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.json", ["a.json"]),
        ("none.json", []),
        ("none/*.json", []),
        ("*.json", ["a.json", "link.json"]),
        (".*", [".hidden.json"]),
        ("[ab].*", ["a.json", "b.log"]),
        ("*/c.json", ["loop/../x/c.json", "x/c.json"]),
        ("**/*.json", ["a.json", "link.json", "x/c.json", "x/y/d.json"]),
        ("x/**", ["x/c.json", "x/y/d.json", "x/y/e.txt"]),
        ("x/y", ["x/y/d.json", "x/y/e.txt"]),
        ("**/y/*", ["x/y/d.json", "x/y/e.txt"]),
    ],
)
def test_a_pattern_leads_to_its_files(tree: Path, pattern: str, names: list[str]) -> None:
    problems: dict[str, str] = {}
    found = {path for path, _ in Paths(problems).expand(str(tree / pattern))}
    expected = {str(tree / name) for name in names if ".." not in name}
    assert {path for path in found if "/loop/" not in path} == expected
    assert not problems
    assert all(is_behind(str(tree / pattern), path) for path in found)


def test_a_folder_is_listed_again_only_when_it_changed(tree: Path) -> None:
    paths = Paths({})
    pattern = str(tree / "x" / "*.json")
    for _ in range(4):
        assert len(list(paths.expand(pattern))) == 1
    listing = paths._folders[str(tree / "x")]
    list(paths.expand(pattern))
    assert paths._folders[str(tree / "x")] is listing
    (tree / "x" / "new.json").write_text("x")
    assert len(list(paths.expand(pattern))) == 2
    os.unlink(tree / "x" / "new.json")
    assert len(list(paths.expand(pattern))) == 1


def test_names_of_one_file_and_its_copies_are_one_family() -> None:
    names = ["a.log", "a.log.1", "a.log.12.gz", "a.log-20261124", "a.log.2026-11-24.gz",
             "a-20261124.log", "a.log.old", "a.log.1.bak"]  # fmt: skip
    assert {family(f"/var/log/{name}") for name in names} == {"a.log"}
    assert len({family(name) for name in ("a1.json", "a2.json", "b.json", "a-1.json")}) == 4


def test_settings_are_read_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "poll: 200ms\nwatch:\n  - path: /var/log/audit/*.json\n    account: '111122223333'\n"
        "  - path: /srv/shop.log\n    kind: mapped\n    mapping:\n      fields:\n"
        "        eventTime: ts\n      time: seconds\n"
    )
    settings = load_settings(CaptureSettings, path, environment={})
    assert settings.poll == 0.2
    assert [watch.kind for watch in settings.watch] == ["auto", "mapped"]
    assert settings.watch[1].mapping.fields == {"eventTime": "ts"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("watch:\n  - path: relative.json\n", "not absolute"),
        ("watch:\n  - path: /a\n    kind: mapped\n", "mapping"),
        ("watch:\n  - path: /a\n    kind: xml\n", "xml"),
        ("watch:\n  - path: /a\n    account: '12'\n", "12 digits"),
        ("poll_idle: 5s\n", "poll"),
        ("linger: 2s\n", "linger"),
        ("watch:\n  - pfad: /a\n", "pfad"),
    ],
)
def test_wrong_settings_are_refused_with_their_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(CaptureSettings, path, environment={})


def test_a_new_file_and_new_lines_are_seen_within_a_second_beside_very_many(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(MANY_FILES + 50):
        (logs / f"{number}.json").write_bytes(lines(number))
    rig = Rig(tmp_path, str(logs / "*.json"))
    rig.settle(HOT_SECONDS + 5)
    assert len(rig.numbers) == MANY_FILES + 50
    for path, number in ((logs / "new.json", 1001), (logs / "7.json", 1002)):
        rig.settle(HOT_SECONDS + 1)
        with path.open("ab") as file:
            file.write(lines(number))
        written = rig.clock.monotonic()
        while number not in rig.numbers:
            rig.step()
        assert rig.clock.monotonic() - written <= 1
    rig.settle()
    reported = {each["name"]: each["position"] for each in rig.harvest.report.sources}
    assert reported[f"file:{logs / '7.json'}"] == len(lines(7) + lines(1002))
    assert len(reported) == MANY_FILES + 51
    (logs / "new.json").unlink()
    rig.settle(15)
    assert len(rig.harvest.report.sources) == MANY_FILES + 50
