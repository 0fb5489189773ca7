"""A destination that fails, stalls or lies costs time only: exactly one object, the reason told."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opentrail_aggregator.archive.deliverer import PAUSE_MAX_SECONDS
from opentrail_aggregator.archive.destination import DestinationError, Listed, ObjectInfo
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.home import Home
from tests.aggregator.archive.rig import ACCOUNT, NOON, REGION, QuickFiles, Rig, event


class FaultyDestination:
    """The local directory behind a fault that a test chooses for each put."""

    def __init__(self, home: Home, *, blocks: bool = False) -> None:
        self._real = LocalDirectory(home, "opentrail", QuickFiles())
        self.blocks = blocks
        self.fault: Callable[[str], None] = lambda key: None
        self.after: Callable[[str], None] = lambda key: None
        self.puts: list[str] = []

    @property
    def bucket(self) -> str:
        return self._real.bucket

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        self.puts.append(key)
        self.fault(key)
        result = self._real.put_if_absent(key, staged, info)
        self.after(key)
        return result

    def head(self, key: str) -> ObjectInfo | None:
        return self._real.head(key)

    def read(self, key: str) -> bytes:
        return self._real.read(key)

    def list(self, prefix: str = "", after: str = "") -> Iterator[Listed]:
        return self._real.list(prefix, after)

    def delete(self, key: str) -> None:
        self._real.delete(key)


def slow_down(key: str) -> None:
    raise DestinationError("slow_down", f"{key}: busy")


def denied(key: str) -> None:
    raise DestinationError("denied", f"{key}: not allowed; allow s3:PutObject", holds=True)


def rig_with(tmp_path: Path, **more: object) -> tuple[Rig, FaultyDestination]:
    destination = FaultyDestination(Home(tmp_path), **more)  # type: ignore[arg-type]
    return Rig(tmp_path, destination=destination), destination


def problems(rig: Rig) -> dict[str, str]:
    return {each["key"]: each["text"] for each in rig.metrics.snapshot()["problems"]}


def test_a_busy_destination_is_tried_again_and_gets_one_object(tmp_path: Path) -> None:
    rig, destination = rig_with(tmp_path)
    destination.fault = slow_down
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    assert "busy" in problems(rig)["archive.destination"]
    assert rig.metrics.value("opentrail_archive_retries_total", reason="slow_down") > 3
    assert rig.reader.figures().pending == 1
    destination.fault = lambda key: None
    rig.pass_time(30)
    assert problems(rig) == {}
    assert len(rig.object_keys()) == 1
    rig.assert_sound()


def test_a_timeout_after_success_leaves_exactly_one_object(tmp_path: Path) -> None:
    rig, destination = rig_with(tmp_path)
    destination.after = slow_down
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    assert len(rig.object_keys()) == 1
    assert rig.reader.figures().archived == 0
    destination.after = lambda key: None
    rig.pass_time(30)
    assert len(rig.object_keys()) == 1
    assert len(rig.manifests()) == 1
    rig.assert_sound()


def test_what_an_operator_has_to_mend_is_told_and_heals_within_the_longest_pause(
    tmp_path: Path,
) -> None:
    rig, destination = rig_with(tmp_path)
    destination.fault = denied
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    assert "allow s3:PutObject" in problems(rig)["archive.destination"]
    destination.fault = lambda key: None
    rig.pass_time(PAUSE_MAX_SECONDS + 1, step=1)
    assert problems(rig) == {}
    rig.assert_sound()


def test_a_restart_goes_on_with_what_was_staged(tmp_path: Path) -> None:
    rig, destination = rig_with(tmp_path)
    destination.fault = slow_down
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    rig.archiver.close()
    destination.fault = lambda key: None
    rig.start()
    rig.work()
    assert len(rig.object_keys()) == 1
    rig.assert_sound()


def test_manifests_arrive_in_the_order_of_cutting_and_after_their_objects(tmp_path: Path) -> None:
    rig, destination = rig_with(tmp_path)
    first_object: list[str] = []

    def fail_once_each(key: str) -> None:
        if key not in first_object:
            first_object.append(key)
            slow_down(key)

    destination.fault = fail_once_each
    for n in range(6):
        rig.log.send([event(n, NOON, region=f"r-{n}"), event(100 + n, NOON + 3600)])
    rig.pass_time(3 * 3600)
    rig.assert_sound()
    arrived = destination.puts
    order = [manifest.sequence for manifest in rig.manifests()]
    assert order == sorted(order)
    catalog = rig.reader.catalog
    last_seen = 0
    for key in dict.fromkeys(reversed(arrived)):
        if "/OpenTrail-Manifest/" in key:
            manifest = catalog.manifest(key)
            assert all(arrived.index(each.key) < arrived.index(key) for each in manifest.objects)
            last_seen += 1
    assert last_seen == len(order) == 7


def test_a_key_taken_by_another_is_loud_and_hinders_only_itself(tmp_path: Path) -> None:
    reference, _ = rig_with(tmp_path / "reference")
    reference.log.send([event(1, NOON), event(2, NOON, region="us-east-1")])
    reference.pass_time(3600 + 300)
    (foreign,) = [key for key in reference.object_keys() if f"/{REGION}/" in key]
    rig, _ = rig_with(tmp_path / "other")
    taken = tmp_path / "other" / "archive" / "opentrail" / foreign
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"not ours")
    rig.log.send([event(1, NOON), event(2, NOON, region="us-east-1")])
    rig.pass_time(3600 + 300)
    assert "nothing was overwritten" in problems(rig)["archive.foreign"]
    assert taken.read_bytes() == b"not ours"
    assert any("/us-east-1/" in key for key in rig.object_keys())
    assert rig.reader.figures().pending == 2
    taken.unlink()
    rig.pass_time(30)
    assert problems(rig) == {}
    rig.assert_sound()


def test_a_destination_that_stalls_never_blocks_a_step(tmp_path: Path) -> None:
    rig, destination = rig_with(tmp_path, blocks=True)
    gate = threading.Event()
    destination.fault = lambda key: None if gate.wait(20) else slow_down(key)
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    rig.log.send([event(2, NOON + 4000)])
    rig.pass_time(60)
    assert rig.archiver.position == len(rig.log.entries)
    assert rig.object_keys() == []
    gate.set()
    for _ in range(1000):
        if rig.reader.figures().archived == 1:
            break
        threading.Event().wait(0.005)
        rig.work()
    rig.pass_time(60)
    rig.archiver.close()
    assert rig.reader.figures().archived == 1
    rig.assert_sound()


def test_the_log_is_not_read_while_too_much_waits(tmp_path: Path) -> None:
    destination = FaultyDestination(Home(tmp_path))
    rig = Rig(tmp_path, destination=destination, staged_max=100)
    destination.fault = slow_down
    rig.log.send([event(1, NOON)])
    rig.pass_time(3600 + 300)
    before = rig.archiver.position
    rig.log.send([event(2, NOON + 3600)])
    rig.pass_time(60)
    assert rig.archiver.position == before
    assert "archive.staged_max" in problems(rig)["archive.backlog"]
    destination.fault = lambda key: None
    rig.pass_time(60)
    assert rig.archiver.position > before
    assert problems(rig) == {}


@pytest.mark.parametrize("failing", ["object", "manifest"])
def test_an_outage_at_either_kind_of_put_ends_well(tmp_path: Path, failing: str) -> None:
    rig, destination = rig_with(tmp_path)
    is_manifest = failing == "manifest"
    destination.fault = lambda key: (
        slow_down(key) if ("/OpenTrail-Manifest/" in key) == is_manifest else None
    )
    rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    assert len(rig.object_keys()) == int(is_manifest)
    assert rig.reader.figures().archived == 0
    destination.fault = lambda key: None
    rig.pass_time(60)
    assert rig.reader.figures().archived == 1
    assert rig.object_keys()[0].startswith(f"AWSLogs/{ACCOUNT}/")
    rig.assert_sound()
