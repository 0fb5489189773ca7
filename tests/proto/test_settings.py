"""Settings come from file, environment and command line; every mistake is told with its place."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from opentrail.errors import ConfigError
from opentrail.settings import (
    Bytes,
    Seconds,
    describe_settings,
    load_settings,
    parse_bytes,
    parse_seconds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    path: Annotated[str, "What to follow."]
    account: Annotated[str, "Stands in where a record names none."] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    settle: Annotated[Seconds, "How long an hour must be quiet."] = Seconds(180)
    part_bytes: Annotated[Bytes, "The largest part."] = Bytes(50_000_000)
    level: Annotated[int, "Compression level."] = 2
    kind: Annotated[Literal["local", "s3"], "Where to."] = "local"
    prefix: Annotated[str | None, "Key prefix."] = None

    def __post_init__(self) -> None:
        if self.level > 9:
            raise ValueError(f"level {self.level} is above 9; use 0 to 9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    name: Annotated[str, "Who this is."] = "here"
    sources: Annotated[list[Watch], "What to follow."] = field(default_factory=list)
    tags: Annotated[dict[str, str], "Labels."] = field(default_factory=dict)
    archive: Archive = field(default_factory=Archive)


def load(tmp_path: Path, text: str, **environment: str) -> Everything:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_settings(Everything, path, environment=environment)


def test_a_file_is_read_with_units_sections_and_lists(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "name: x\nsources:\n- path: /a\n- {path: /b, account: '012345678901'}\n"
        "tags: {k: v}\narchive: {settle: 2min, part_bytes: 1MiB, kind: s3, prefix: p}\n",
    )
    assert found.sources == [Watch(path="/a"), Watch(path="/b", account="012345678901")]
    assert (found.archive.settle, found.archive.part_bytes) == (120.0, 1 << 20)
    assert (found.tags, found.archive.kind, found.archive.prefix) == ({"k": "v"}, "s3", "p")


def test_an_empty_file_and_no_file_are_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Everything() == load_settings(Everything, environment={})


def test_the_environment_goes_before_the_file_and_an_option_before_both(tmp_path: Path) -> None:
    text = "archive: {settle: 1s}"
    assert load(tmp_path, text, OPENTRAIL_ARCHIVE_SETTLE="5s").archive.settle == Seconds(5)
    path = tmp_path / "c.yaml"
    found = load_settings(
        Everything,
        path,
        environment={"OPENTRAIL_ARCHIVE_SETTLE": "5s"},
        overrides={"archive.settle": "7s"},
    )
    assert found.archive.settle == Seconds(7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "archive:\n  setle: 1s",
            'c.yaml:2:3: archive: unknown key "setle"; did you mean "settle"?',
        ),
        ("nam: x", 'c.yaml:1:1: unknown key "nam"; did you mean "name"?'),
        ("zzz: x", 'c.yaml:1:1: unknown key "zzz"; known: name, sources, tags, archive'),
        ("archive: {settle: soon}", "c.yaml:1:19: archive.settle: 'soon' is no duration"),
        (
            "archive: {part_bytes: 5 apples}",
            "c.yaml:1:23: archive.part_bytes: '5 apples' is no size",
        ),
        ("archive: {level: two}", "c.yaml:1:18: archive.level: 'two' is no int"),
        ("archive: {level: 12}", "c.yaml:1:10: archive: level 12 is above 9"),
        ("archive: {kind: tape}", "archive.kind: 'tape' is not one of local, s3"),
        ("archive: [1]", "c.yaml:1:10: archive: expected keys and values here"),
        ("name: [1]", "c.yaml:1:7: name: expected one value here"),
        ("sources: [{account: x}]", "sources[0].path: is missing and has no default"),
        ("name: a\nname: b", 'c.yaml:2:1: "name" is given twice'),
        ("name: 'a", "c.yaml:1:9: not YAML"),
        ("a: b: c", "c.yaml:1:5: not YAML"),
    ],
)
def test_a_mistake_is_told_with_file_line_column_and_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert complaint in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from OPENTRAIL_ARCHIVE_LEVEL"):
        load(tmp_path, "", OPENTRAIL_ARCHIVE_LEVEL="much")


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --config FILE"):
        load_settings(Everything, tmp_path / "none.yaml", environment={})


def test_every_setting_describes_itself() -> None:
    docs = {doc.path: doc for doc in describe_settings(Everything)}
    assert docs["archive.settle"].environment == "OPENTRAIL_ARCHIVE_SETTLE"
    assert docs["archive.settle"].meaning == "How long an hour must be quiet."
    assert docs["archive.part_bytes"].default == "50000000"


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("2s", 2), ("3min", 180), ("1.5h", 5400), ("7d", 604800)]
)
def test_durations_are_read(text: str, value: float) -> None:
    assert parse_seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("4096", 4096), ("64MB", 64_000_000), ("1GiB", 1 << 30)]
)
def test_sizes_are_read(text: str, value: int) -> None:
    assert parse_bytes(text) == value
