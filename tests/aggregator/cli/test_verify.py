"""`opentrail verify` and `opentrail digest now` as a person types them."""

import json
import threading
from pathlib import Path

import pytest

from opentrail.clock import SystemClock
from opentrail.files import FileLock
from opentrail_aggregator.cli import main
from tests.aggregator.digest.rig import HOUR, DigestRig, busy


@pytest.fixture
def rig(tmp_path: Path) -> DigestRig:
    rig = DigestRig(tmp_path)
    busy(rig, 2)
    rig.pass_time(HOUR)
    rig.pass_time(60)
    return rig


def test_a_whole_archive_ends_with_zero(rig: DigestRig, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--home", str(rig.home.path)]) == 0
    assert capsys.readouterr().out.startswith("whole: ")
    assert main(["verify", "--home", str(rig.home.path), "--output", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["whole"] is True
    assert report["log_files"] == len(rig.object_keys())


def test_every_fault_is_a_line_and_ends_with_one(
    rig: DigestRig, capsys: pytest.CaptureFixture[str]
) -> None:
    key = rig.object_keys()[0]
    (rig.home.archive / "opentrail" / key).unlink()
    assert main(["verify", "--home", str(rig.home.path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(key) for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} problems: ")
    assert main(["verify", "--home", str(rig.home.path), "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["whole"] is False


def test_what_cannot_be_looked_at_ends_with_two(
    rig: DigestRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--home", str(tmp_path / "none")]) == 2
    for path in (rig.home.digest / "chains").iterdir():
        path.write_bytes(b"{")
    assert main(["verify", "--home", str(rig.home.path)]) == 2
    assert "bring HOME/digest back from a backup" in capsys.readouterr().err


def test_digest_now_without_an_aggregator_says_so(
    rig: DigestRig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["digest", "now", "--home", str(rig.home.path)]) == 1
    assert "no aggregator works in" in capsys.readouterr().err


def test_digest_now_waits_for_the_archive_and_names_the_digests(
    rig: DigestRig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.send()
    rig.work()
    lock = FileLock(rig.home.run / "locks" / "archive.lock")
    lock.acquire()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            rig.pass_time(1, step=1)
            SystemClock().pause(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        code = main(["digest", "now", "--home", str(rig.home.path), "--wait", "20"])
    finally:
        stop.set()
        thread.join()
        lock.release()
    assert code == 0
    printed = capsys.readouterr().out.splitlines()
    assert f"opentrail/{rig.digest_keys()[-1]}" in printed
    assert rig.check().waiting == 0


def test_digest_now_gives_up_in_time(rig: DigestRig, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FileLock(rig.home.run / "locks" / "archive.lock")
    lock.acquire()
    assert main(["digest", "now", "--home", str(rig.home.path), "--wait", "0.2"]) == 1
    lock.release()
    assert "no digest within 0.2 s" in capsys.readouterr().err
    assert list((rig.home.digest / "requests").iterdir()) == []
