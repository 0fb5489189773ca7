"""Each of the commonest mistakes, made on purpose, is found with its fix; a sound home has none."""

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opentrail.clock import Clock, SystemClock
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.cli.doctor import CHECKS, examined
from opentrail_aggregator.config import AggregatorSettings, load
from opentrail_aggregator.doctor.patient import Finding, Host, Patient
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.pki import DevelopmentPki
from tests.fakes.clock import FakeClock

SOUND = Host(
    free_bytes=lambda path: 1 << 40,
    total_bytes=lambda path: 1 << 41,
    free_inodes=lambda path: 0.9,
    open_files=lambda: 65_536,
    resolves=lambda host: True,
    is_taken=lambda host, port: False,
    memory_limit=lambda: None,
    mounts=lambda: "/dev/sda1 / ext4 rw 0 0\n",
    can_write=lambda path: True,
)


@pytest.fixture(scope="module")
def sound_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(tmp_path_factory.mktemp("sound") / "home")
    DevelopmentPki(home.pki, SystemClock()).server(["127.0.0.1"])
    ensure_first_key(home.keys, SystemClock())
    return home.path


@pytest.fixture
def home(sound_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_home, tmp_path / "home"))


def settings(home: Path, **overrides: str) -> AggregatorSettings:
    names = {name.replace("__", "."): value for name, value in overrides.items()}
    return load(None, {"home": str(home), **names})


def found(
    home: Path, host: Host = SOUND, clock: Clock | None = None, **overrides: str
) -> list[Finding]:
    patient = Patient(settings(home, **overrides), clock or SystemClock(), host)
    return [finding for check in CHECKS for finding in check(patient)]


def test_a_sound_installation_is_found_sound(home: Path) -> None:
    assert found(home) == []


def test_there_are_twenty_and_more() -> None:
    assert len(CHECKS) + 1 >= 20, "the configuration itself is one more"


HOST: list[tuple[str, dict[str, Any], str]] = [
    ("permissions", {"can_write": lambda path: False}, "chown"),
    ("disk", {"free_bytes": lambda path: 1}, "disk.reserve"),
    ("log", {"total_bytes": lambda path: 1 << 20}, "log.max_bytes"),
    ("inodes", {"free_inodes": lambda path: 0.01}, "inodes"),
    ("ulimit", {"open_files": lambda: 1024}, "LimitNOFILE"),
    ("memory", {"memory_limit": lambda: 64 << 20}, "MemoryMax"),
    ("filesystem", {"mounts": lambda: "none / tmpfs rw 0 0\n"}, "local disk"),
    ("dns", {"resolves": lambda host: False}, "/etc/hosts"),
    ("port", {"is_taken": lambda host, port: True}, "ss -ltnp"),
]


@pytest.mark.parametrize(("check", "sick", "fix"), HOST, ids=[each[0] for each in HOST])
def test_a_mistake_of_the_host(home: Path, check: str, sick: dict[str, Any], fix: str) -> None:
    told = found(home, replace(SOUND, **sick))
    assert {each.check for each in told} == {check}
    assert all(fix in each.fix for each in told)


def test_a_port_that_we_have_ourselves_is_not_taken(home: Path) -> None:
    Metrics("ingest", SystemClock()).publish(Home(home))
    assert found(home, replace(SOUND, is_taken=lambda host, port: True)) == []


def test_a_home_that_is_not_there(tmp_path: Path) -> None:
    told = found(tmp_path / "nowhere")
    assert told[0].check == "home"
    assert "install -d" in told[0].fix


def test_a_clock_that_was_never_set_or_went_back(home: Path) -> None:
    assert {each.check for each in found(home, clock=FakeClock(1_000.0))} >= {"clock"}
    ahead = FakeClock(SystemClock().now_ns() / 1e9 + 3600)
    Metrics("ingest", ahead).publish(Home(home))
    (told,) = found(home)
    assert told.check == "clock"
    assert "chronyc" in told.fix


def no_server_key(home: Path) -> None:
    (home / "pki/server.key").unlink()


def foreign_key(home: Path) -> None:
    other = DevelopmentPki(home.parent / "other", SystemClock()).server(["127.0.0.1"])
    shutil.copy(other.key, home / "pki/server.key")


def open_secret(home: Path) -> None:
    (home / "pki/ca.key").chmod(0o644)


def no_access_key(home: Path) -> None:
    (home / "keys/keys.json").unlink()


def no_authority_key(home: Path) -> None:
    (home / "pki/ca.key").unlink()


def newer_tokens(home: Path) -> None:
    (home / "identity").mkdir()
    (home / "identity/tokens.json").write_text(json.dumps({"format": 9, "entries": {}}))


SPOILT: list[tuple[str, Callable[[Path], None], str]] = [
    ("certificates", no_server_key, "ca init"),
    ("pair", foreign_key, "belongs to the certificate"),
    ("secrets", open_secret, "chmod 600"),
    ("access-keys", no_access_key, "keys create"),
    ("authority", no_authority_key, "backup"),
    ("identity", newer_tokens, "do not remove"),
]


@pytest.mark.parametrize(("check", "spoil", "fix"), SPOILT, ids=[each[0] for each in SPOILT])
def test_a_mistake_in_the_home(
    home: Path, check: str, spoil: Callable[[Path], None], fix: str
) -> None:
    spoil(home)
    (told,) = found(home)
    assert told.check == check
    assert fix in told.fix


DATES = [(822, "runs out in"), (900, "ago"), (-60, "not good yet")]


@pytest.mark.parametrize(("ahead_days", "says"), DATES)
def test_a_certificate_s_dates(home: Path, ahead_days: int, says: str) -> None:
    clock = FakeClock(SystemClock().now_ns() / 1e9 + ahead_days * 86400)
    told = [each for each in found(home, clock=clock) if each.check == "certificate-dates"]
    assert says in told[0].what


def test_what_is_open_to_others(home: Path) -> None:
    outside = {"grpc__listen": "0.0.0.0:8471"}
    assert {each.check for each in found(home, SOUND, None, **outside)} == {"grants", "enrolment"}
    plain = found(home, http__listen="0.0.0.0:8470")
    assert {each.check for each in plain} == {"http"}


def test_a_wrong_configuration_is_found_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "aggregator.yaml"
    path.write_text("retention: {dayz: 3}\n")
    (told,) = examined(argparse.Namespace(config=str(path), home=None))
    assert told.check == "configuration"
    assert f"{path}:1" in told.what
