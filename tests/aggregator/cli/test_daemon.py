"""`opentrail-aggregator`: groups of roles, configuration with places, exit codes."""

from pathlib import Path

import pytest

from opentrail.errors import ConfigError, UsageError
from opentrail_aggregator.app import DEFAULT_GROUPS, ROLES, SERVING, STEPPING, parse_groups
from opentrail_aggregator.config import load
from opentrail_aggregator.daemon import main


def test_every_role_can_be_built_and_runs_by_default() -> None:
    assert set(SERVING) | set(STEPPING) == set(ROLES)
    assert sorted(role for group in parse_groups(DEFAULT_GROUPS) for role in group) == sorted(ROLES)


def test_a_comma_separates_processes_and_a_plus_joins_roles() -> None:
    assert parse_groups("ingest, consolidate+archive") == [("ingest",), ("consolidate", "archive")]


@pytest.mark.parametrize("text", ["", "ingest,", "ingets", "ingest,ingest", "index+index", "a+"])
def test_a_role_that_is_none_or_named_twice_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--roles"):
        parse_groups(text)


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        ("retention:\n  dayz: 3\n", ":2:3:", 'did you mean "days"'),
        ("http:\n  listen: nowhere\n", "", "http.listen"),
        ("install:\n  account: 12\n", ":", "12 digits"),
        ("archive: [\n", ":2:1:", "not YAML"),
        ("archive:\n  settle: soon\n", ":2:11:", "no duration"),
    ],
)
def test_wrong_configuration_exits_78_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, place: str, says: str
) -> None:
    path = tmp_path / "aggregator.yaml"
    path.write_text(content)
    assert main(["validate", "--config", str(path)]) == 78
    error = capsys.readouterr().err
    assert says in error
    if place:
        assert f"{path}{place}" in error


def test_an_environment_variable_is_named_after_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENTRAIL_ARCHIVE_SETTLE", "2s")
    monkeypatch.setenv("OPENTRAIL_RETENTION_DAYS", "3650")
    monkeypatch.setenv("OPENTRAIL_HOME", str(tmp_path))
    settings = load(None)
    assert (settings.archive.settle, settings.retention.days) == (2.0, 3650)
    assert settings.place.log == tmp_path / "log"


def test_an_option_that_names_no_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'did you mean "archive\.settle"'):
        load(None, {"archive.setle": "2s"})


def test_a_daemon_without_certificates_says_so_and_does_not_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--no-config", "--set", f"home={tmp_path / 'home'}"]) == 78
    assert "grpc.certificate" in capsys.readouterr().err
