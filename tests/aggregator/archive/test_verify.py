"""Whatever is taken, changed or added in the archive is noticed; a clean one raises no alarm."""

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.aggregator.archive.rig import NOON, Rig, event


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.grant_all()
    for n in range(8):
        rig.log.send([event(n * 10 + i, NOON + n * 1800, region=f"r-{i % 2}") for i in range(4)])
        rig.pass_time(1800)
    rig.pass_time(2 * 3600)
    rig.assert_sound()
    assert len(rig.manifests()) >= 6
    return rig


def path_of(rig: Rig, key: str) -> Path:
    return rig.home.archive / "opentrail" / key


def meta_of(rig: Rig, key: str) -> Path:
    return rig.home.archive_meta / "opentrail" / f"{key}.json"


def rewrite(rig: Rig, key: str, change: Callable[[bytes], bytes]) -> None:
    """Change an object as someone with access to the folder would, metadata too."""
    data = change(gzip.decompress(path_of(rig, key).read_bytes()))
    path_of(rig, key).unlink()
    path_of(rig, key).write_bytes(gzip.compress(data, mtime=0))
    meta_of(rig, key).unlink()


def objects(rig: Rig) -> list[str]:
    return rig.object_keys()


def manifests(rig: Rig) -> list[str]:
    found = [(rig.reader.catalog.summary(key).sequence, key)
             for key in rig.object_keys("OpenTrail-Manifest")]  # fmt: skip
    return [key for _, key in sorted(found)]


def take_object(rig: Rig) -> str:
    key = objects(rig)[2]
    path_of(rig, key).unlink()
    return key


def take_object_and_metadata(rig: Rig) -> str:
    key = take_object(rig)
    meta_of(rig, key).unlink()
    return key


def edit_event(rig: Rig) -> str:
    key = objects(rig)[1]
    rewrite(rig, key, lambda data: data.replace(b'"f":1.10e-07', b'"f":1.20e-07', 1))
    return key


def take_event(rig: Rig) -> str:
    key = objects(rig)[0]
    rewrite(rig, key, lambda data: data[:12] + data[data.index(b"},") + 2 :])
    return key


def swap_objects(rig: Rig) -> str:
    one, two = path_of(rig, objects(rig)[0]), path_of(rig, objects(rig)[-1])
    first, second = one.read_bytes(), two.read_bytes()
    one.unlink()
    two.unlink()
    one.write_bytes(second)
    two.write_bytes(first)
    return objects(rig)[0]


def take_manifest(rig: Rig) -> str:
    key = manifests(rig)[2]
    path_of(rig, key).unlink()
    return key


def take_first_manifest(rig: Rig) -> str:
    key = manifests(rig)[0]
    path_of(rig, key).unlink()
    return key


def take_newest_manifest(rig: Rig) -> str:
    key = manifests(rig)[-1]
    path_of(rig, key).unlink()
    return key


def take_newest_cut(rig: Rig) -> str:
    key = manifests(rig)[-1]
    for entry in rig.reader.catalog.summary(key).objects:
        path_of(rig, entry.key).unlink()
    path_of(rig, key).unlink()
    return key


def edit_manifest(rig: Rig) -> str:
    key = manifests(rig)[1]
    rewrite(rig, key, lambda data: data.replace(b'"complete":', b'"complete" :', 1))
    return key


def edit_newest_manifest(rig: Rig) -> str:
    key = manifests(rig)[-1]
    rewrite(rig, key, lambda data: data.replace(b'"complete":', b'"complete" :', 1))
    return key


def add_object(rig: Rig) -> str:
    key = objects(rig)[0]
    parts = key.rsplit("_", 1)
    added = f"{parts[0]}_{'A' * 16}.json.gz"
    path_of(rig, added).write_bytes(path_of(rig, key).read_bytes())
    return added


def junk_behind_object(rig: Rig) -> str:
    key = objects(rig)[0]
    data = path_of(rig, key).read_bytes()
    path_of(rig, key).unlink()
    path_of(rig, key).write_bytes(data + gzip.compress(b"junk"))
    return key


def cut_object_short(rig: Rig) -> str:
    key = objects(rig)[0]
    data = path_of(rig, key).read_bytes()
    path_of(rig, key).unlink()
    path_of(rig, key).write_bytes(data[:-5])
    return key


TAMPERINGS = [
    take_object, take_object_and_metadata, edit_event, take_event, swap_objects, take_manifest,
    take_first_manifest, take_newest_manifest, take_newest_cut, edit_manifest,
    edit_newest_manifest, add_object, junk_behind_object, cut_object_short,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda each: each.__name__)
def test_each_tampering_is_found_and_the_thing_is_named(
    tamper: Callable[[Rig], str], rig: Rig
) -> None:
    key = tamper(rig)
    assert any(key in problem for problem in rig.verify().problems)


@pytest.mark.parametrize(
    "tamper",
    [take_object, take_object_and_metadata, take_manifest, take_newest_manifest, take_newest_cut,
     cut_object_short, junk_behind_object],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_what_is_missing_or_of_another_size_is_missed_in_the_figures_at_once(
    tamper: Callable[[Rig], str], rig: Rig
) -> None:
    before = rig.reader.figures()
    assert before.is_sound
    key = tamper(rig)
    after = rig.reader.figures()
    assert not after.is_sound
    assert after.archived < before.archived
    if "Manifest" not in key:
        assert any(key in finding for finding in after.findings)


@pytest.mark.parametrize("tamper", [edit_event, take_event], ids=lambda each: each.__name__)
def test_changed_content_is_found_by_a_recount(tamper: Callable[[Rig], str], rig: Rig) -> None:
    key = tamper(rig)
    figures = rig.reader.figures(recount=True)
    assert any(key in finding for finding in figures.findings)


def test_batches_that_never_reached_the_log_are_told_once(rig: Rig) -> None:
    rig.log.sequence["web-1"] += 3
    for n in range(2):
        rig.log.send([event(900 + n, NOON + 12 * 3600 + n * 7200)])
        rig.pass_time(12 * 3600, step=600)
    told = [each for each in rig.verify().problems if "batches 9 to 11 never reached" in each]
    assert len(told) == len(rig.verify().problems) == 1
    assert "agent web-1, epoch eeee" in told[0]


def test_a_log_that_was_put_back_is_told(rig: Rig) -> None:
    table = rig.archiver._reporters._table
    table.agents["web-1"].epochs["e" * 32].sequence = 3
    rig.log.sequence["web-1"] = 3
    rig.log.send([event(900, NOON + 12 * 3600)])
    rig.pass_time(12 * 3600, step=600)
    (told,) = rig.verify().problems
    assert told.startswith(f"{manifests(rig)[-1]}: agent web-1, epoch eeee")
    assert "had come to batch 4, and to 8" in told


def test_another_epoch_and_another_agent_begin_with_one(rig: Rig) -> None:
    rig.log.send([event(900, NOON + 12 * 3600)], agent="web-2")
    rig.pass_time(12 * 3600, step=600)
    assert rig.verify().problems == []


@pytest.mark.slow
def test_random_damage_of_one_byte_is_always_found(rig: Rig) -> None:
    chance = random.Random(11)
    keys = objects(rig) + manifests(rig)
    found = 0
    for _ in range(60):
        path = path_of(rig, chance.choice(keys))
        before = path.read_bytes()
        data = bytearray(before)
        # The ten bytes of the gzip header say nothing about the content.
        data[chance.randrange(10, len(data))] ^= 1 << chance.randrange(8)
        path.unlink()
        path.write_bytes(data)
        if same_content(before, bytes(data)):
            path.write_bytes(before)
            continue  # The last byte of a deflate stream has bits that nobody reads.
        assert rig.verify().problems, path
        found += 1
        path.write_bytes(before)
    assert rig.verify().problems == []
    assert found > 50


def same_content(one: bytes, other: bytes) -> bool:
    try:
        return gzip.decompress(one) == gzip.decompress(other)
    except (OSError, EOFError, zlib.error):
        return False
