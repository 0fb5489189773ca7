"""systemd units: hardened, and fit for what the services do."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.system.tools import need

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "packages" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
EXPOSURE_MAX = 2.0


def test_each_role_has_a_unit() -> None:
    assert [each.name for each in UNITS] == [
        "opentrail-agent.service", "opentrail-aggregator.service",
    ]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_little_exposed(unit: Path) -> None:
    done = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_reads_the_unit_without_a_complaint(unit: Path, tmp_path: Path) -> None:
    # The program of the unit is not installed here; one that is stands for it.
    text = unit.read_text()
    (program,) = re.findall(r"^ExecStart=(\S+)", text, re.M)
    copy = tmp_path / unit.name
    copy.write_text(text.replace(program, "/bin/true"))
    done = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", str(copy)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_wrong_configuration_is_not_tried_again_and_everything_else_is(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "Restart=always" in lines
    assert "RestartPreventExitStatus=78" in lines
    # Without this systemd gives up after five starts in ten seconds.
    assert "StartLimitIntervalSec=0" in lines


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_the_services_run_as_users_that_are_made(unit: Path) -> None:
    text = unit.read_text()
    users = (FOLDER / "opentrail.sysusers").read_text()
    folders = (FOLDER / "opentrail.tmpfiles").read_text()
    (user,) = re.findall(r"^User=(\S+)", text, re.M)
    (state,) = re.findall(r"^StateDirectory=(\S+)", text, re.M)
    assert re.search(rf"^u {user} +- ", users, re.M)
    assert re.search(rf"^d /var/lib/{state} +0700 {user} +{user} +-$", folders, re.M)


def test_users_and_folders_are_made_in_an_empty_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for tool, name in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        command = [need(tool), f"--root={root}", str(FOLDER / f"opentrail.{name}")]
        if tool == "systemd-tmpfiles":
            command.insert(1, "--create")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    users = (root / "etc" / "passwd").read_text()
    assert "opentrail:" in users
    assert "opentrail-agent:" in users
    for name in ("opentrail", "opentrail-agent"):
        assert (root / "var/lib" / name).stat().st_mode & 0o777 == 0o700


def test_reading_everything_is_an_exception_that_is_not_installed() -> None:
    unit = (FOLDER / "opentrail-agent.service").read_text()
    assert "CAP_" not in unit
    exception = (FOLDER / "opentrail-agent.service.d" / "read-everything.conf").read_text()
    assert re.findall(r"CAP_\w+", exception) == ["CAP_DAC_READ_SEARCH"] * 2
