"""What the archive promises: each kept event once, byte for byte, in the part of its hour."""

import gzip
import json
import random
import zlib
from pathlib import Path

import pytest

from opentrail_aggregator.archive.figures import ArchiveReader
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.manifest import manifest_key
from opentrail_aggregator.archive.parts import EARLY, IMPORT_ENDED, SETTLE_MAX, SETTLED, SIZE
from opentrail_aggregator.consolidate.verdict import Group
from opentrail_aggregator.home import Home
from tests.aggregator.archive.rig import ACCOUNT, NOON, REGION, Event, MemoryLog, Rig, event

KEY_BEGINS = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/09/21/{ACCOUNT}_CloudTrail_{REGION}_"


def content(rig: Rig, key: str) -> bytes:
    """The uncompressed bytes, by the most literal of readers."""
    inflate = zlib.decompressobj(31)
    data = inflate.decompress(rig.destination.read(key))
    assert inflate.eof
    assert inflate.unused_data == b""
    return data


def stored(rig: Rig) -> dict[str, bytes]:
    """Objects and manifests as they are stored."""
    return {each.key: rig.destination.read(each.key) for each in rig.destination.list()}


def expected_object(events: list[Event]) -> bytes:
    return b'{"Records":[' + b",".join(each.line for each in events) + b"]}"


def test_a_quiet_hour_is_delivered_byte_for_byte_once_it_settled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    events = [event(n, NOON + n) for n in range(20)]
    rig.log.send(events)
    rig.pass_time(3500)
    assert rig.object_keys() == []
    rig.pass_time(300)
    (key,) = rig.object_keys()
    assert content(rig, key) == expected_object(events)
    assert len(json.loads(gzip.decompress(rig.destination.read(key)))["Records"]) == 20
    assert key.startswith(KEY_BEGINS)
    rig.assert_sound()


def test_a_batch_of_copies_only_archives_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    events = [event(n, NOON + n) for n in range(5)]
    rig.log.send(events)
    rig.log.send(events, copies=range(5))
    rig.log.send([event(9, NOON + 9)])
    rig.pass_time(3 * 3600)
    assert len(rig.records()) == 6
    rig.assert_sound()


def test_nothing_is_staged_under_a_folder_named_awslogs(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(n, NOON) for n in range(5)])
    rig.pass_time(60)
    assert rig.reader.figures().pending == 5
    assert not list(tmp_path.rglob("AWSLogs"))


@pytest.mark.slow
def test_a_part_that_never_falls_silent_is_cut_ten_minutes_after_its_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for number in range(3600 // 60 + 15):
        rig.log.send([event(number, NOON + min(number * 60, 3599))])
        rig.pass_time(60)
    first = rig.manifests()[0]
    assert first.cut.reason == SETTLE_MAX
    assert NOON + 3600 + 600 <= first.cut.delivered_at_ns / 1e9 <= NOON + 3600 + 660
    rig.assert_sound()


def test_late_events_make_a_later_part_and_leave_the_first_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    (first,) = rig.object_keys()
    before = rig.destination.read(first)
    late = event(2, NOON + 5)
    rig.log.send([late])
    rig.pass_time(400)
    keys = rig.object_keys()
    assert len(keys) == 2
    assert rig.destination.read(first) == before
    (second,) = set(keys) - {first}
    assert content(rig, second) == expected_object([late])
    one, two = rig.manifests()
    assert (one.previous, two.previous.key) == (None, manifest_key("", one))
    rig.assert_sound()


def test_an_event_far_ahead_of_its_hour_is_not_kept_waiting_for_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON + 20 * 3600)])
    rig.pass_time(570)
    assert rig.object_keys() == []
    rig.pass_time(90)
    assert len(rig.object_keys()) == 1
    rig.assert_sound()


def test_an_event_a_little_ahead_of_its_hour_waits_with_that_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.clock.advance(3590)
    rig.log.send([event(1, NOON + 3601)])
    rig.pass_time(1800)
    rig.log.send([event(2, NOON + 3602)])
    rig.pass_time(3600)
    assert len(rig.object_keys()) == 1
    rig.assert_sound()


def test_a_part_is_cut_before_the_event_that_would_pass_the_limit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, object_max_bytes=20_000)
    events = [event(n, NOON + n, pad=900) for n in range(100)]
    for begin in range(0, 100, 7):
        rig.log.send(events[begin : begin + 7])
        rig.pass_time(1)
    sizes = [len(content(rig, key)) for key in rig.object_keys()]
    assert len(sizes) >= 4
    assert all(20_000 - 1_200 < size <= 20_000 for size in sizes)
    rig.pass_time(3600 + 400)
    assert [m.cut.reason for m in rig.manifests()[:4]] == [SIZE] * 4
    assert rig.records() == [each.line for each in events]
    rig.assert_sound()


@pytest.mark.slow
def test_no_object_passes_fifty_million_bytes(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for batch in range(56):
        rig.log.send([event(batch * 1000 + n, NOON, pad=900) for n in range(1000)])
    rig.work()
    (key,) = rig.object_keys()
    size = len(content(rig, key))
    assert 49_990_000 < size <= 50_000_000
    rig.pass_time(3600 + 400)
    assert rig.reader.figures(recount=True).archived == 56_000
    rig.assert_sound()


def test_copies_are_left_out_and_each_account_region_hour_has_its_own_object(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    mixed = [
        event(1, NOON),
        event(2, NOON + 3600),
        event(3, NOON, region="us-east-1"),
        event(1, NOON),
        event(4, NOON, account="222233334444"),
        event(5, NOON),
    ]
    rig.log.send(mixed, copies=[3])
    rig.pass_time(3 * 3600)
    assert sorted(content(rig, key) for key in rig.object_keys()) == sorted(
        [
            expected_object([mixed[0], mixed[5]]),
            expected_object([mixed[1]]),
            expected_object([mixed[2]]),
            expected_object([mixed[4]]),
        ]
    )
    assert rig.reader.figures().archived == 5
    rig.assert_sound()


@pytest.mark.parametrize(
    ("category", "folder"),
    [
        ("Management", "CloudTrail"),
        ("Data", "CloudTrail"),
        (None, "CloudTrail"),
        ("Insight", "CloudTrail-Insight"),
        ("NetworkActivity", "CloudTrail-NetworkActivity"),
        ("Aggregated", "CloudTrail-Aggregated"),
        (r"\u0049nsight", "CloudTrail-Insight"),
    ],
)
def test_the_category_decides_the_folder(tmp_path: Path, category: str | None, folder: str) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON, category=category), event(2, NOON)])
    rig.pass_time(2 * 3600)
    keys = rig.object_keys(folder)
    assert any(b'"n":1,' in content(rig, key) for key in keys)
    assert all(f"_{folder}_" in key for key in keys)
    assert len(keys) + len(rig.object_keys("CloudTrail")) >= 2 - (folder == "CloudTrail")
    rig.assert_sound()


def test_derived_ids_lie_beside_the_records_and_never_in_them(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    batch = [event(n, NOON, derived=n % 2 == 0) for n in range(6)]
    rig.log.send(batch)
    rig.log.send([event(10, NOON), event(11, NOON, derived=True)])
    rig.pass_time(2 * 3600)
    (manifest,) = rig.manifests()
    assert manifest.objects[0].derived == {0: "id-0", 2: "id-2", 4: "id-4", 7: "id-11"}
    found = [(r.derived_id, r.line) for _, r in rig.reader.catalog.all_records()]
    assert found[4] == ("id-4", batch[4].line)
    assert b"id-4" not in found[4][1]


@pytest.mark.slow
def test_ninety_days_imported_in_random_order_make_at_most_two_parts_each(tmp_path: Path) -> None:
    rig = Rig(tmp_path, buffer=1 << 20)
    chance = random.Random(5)
    pairs = [(a, r) for a in (ACCOUNT, "222233334444") for r in (REGION, "us-east-1")]
    hours = range(0, 90 * 24, 12)
    events = [
        event(n, NOON - 3600 * hour - 60, account, region, pad=300)
        for n, (hour, (account, region)) in enumerate(
            (hour, pair) for hour in hours for pair in pairs for _ in range(3)
        )
    ]
    chance.shuffle(events)
    for begin in range(0, len(events), 50):
        rig.log.send(events[begin : begin + 50], agent="import-1", kind="import")
        rig.pass_time(20)
    assert rig.object_keys() == []
    rig.log.append_control("import-ended", {"agent": "import-1", "epoch": "e" * 32})
    rig.pass_time(60, step=1)
    per_part: dict[tuple[str, str, str], int] = {}
    for manifest in rig.manifests():
        assert manifest.cut.reason == IMPORT_ENDED
        for entry in manifest.objects:
            part = (manifest.account, manifest.region, entry.hour)
            per_part[part] = per_part.get(part, 0) + 1
    assert len(per_part) == len(hours) * len(pairs)
    assert max(per_part.values()) <= 2
    assert sorted(rig.records()) == sorted(each.line for each in events)
    rig.assert_sound()


def test_an_import_that_falls_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON - 86400)], agent="import-1", kind="import")
    rig.pass_time(800)
    assert rig.object_keys() == []
    rig.pass_time(200)
    assert len(rig.object_keys()) == 1


def test_live_events_are_not_held_back_by_an_import_of_the_same_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.log.send([event(2, NOON)], agent="import-1", kind="import")
    for n in range(80):
        rig.log.send([event(100 + n, NOON - 86400)], agent="import-1", kind="import")
        rig.pass_time(60)
    assert [m.cut.reason for m in rig.manifests()] == [SETTLE_MAX]
    assert len(rig.records()) == 2


def test_beyond_half_of_the_log_the_largest_parts_are_cut_early(tmp_path: Path) -> None:
    rig = Rig(tmp_path, log_max_bytes=60_000)
    chance = random.Random(1)
    for n in range(30):
        noise = "".join(chance.choices("0123456789abcdef", k=3000))
        big = event(n, NOON)
        big = Event(big.line[:-1] + f', "noise":"{noise}"}}'.encode(), ACCOUNT, REGION, NOON, "x")
        rig.log.send([big, event(1000 + n, NOON, region="us-east-1")])
        rig.pass_time(2)
    reasons = {(m.region, m.cut.reason) for m in rig.manifests()}
    assert reasons == {(REGION, EARLY)}
    rig.pass_time(2 * 3600)
    rig.assert_sound()


@pytest.mark.parametrize("jump", [-86400, -3600, 3600, 86400])
def test_a_jump_of_the_clock_loses_and_doubles_nothing(tmp_path: Path, jump: int) -> None:
    rig = Rig(tmp_path)
    sent = []
    for n in range(90):
        if n == 30:
            rig.clock.jump(jump)
        sent.append(event(n, NOON + n * 60))
        rig.log.send([sent[-1]])
        rig.pass_time(60)
    rig.clock.jump(max(0, -jump))
    rig.pass_time(3 * 3600, step=120)
    assert sorted(rig.records()) == sorted(each.line for each in sent)
    rig.assert_sound()


def test_a_stop_cuts_nothing_and_the_next_start_goes_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.work()
    rig.archiver.close()
    assert rig.reader.figures().pending == 1
    rig.start()
    rig.log.send([event(2, NOON)])
    rig.pass_time(2 * 3600)
    assert len(rig.object_keys()) == 1
    assert len(rig.records()) == 2
    rig.assert_sound()


@pytest.mark.slow
def test_an_archive_made_again_from_the_log_has_the_same_keys_and_bytes(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "one", object_max_bytes=9_000)
    for n in range(40):
        rig.log.send([event(n * 10 + i, NOON + n * 200, pad=200) for i in range(10)])
        rig.pass_time(200)
    rig.pass_time(2 * 3600)
    again = Rig(tmp_path / "two", log=rig.log, object_max_bytes=9_000, gzip_level=0, buffer=1 << 20)
    again.work()
    objects = rig.object_keys()
    assert len(objects) > 5
    assert again.object_keys() == objects
    assert [content(again, key) for key in objects] == [content(rig, key) for key in objects]
    assert again.object_keys("OpenTrail-Manifest") == rig.object_keys("OpenTrail-Manifest")
    assert again.manifests() == rig.manifests()


def test_a_rebuild_over_what_is_there_finds_its_own_work_done(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for n in range(10):
        rig.log.send([event(n, NOON + n * 600)])
        rig.pass_time(600)
    rig.pass_time(2 * 3600)
    before = stored(rig)
    rig.archiver.close()
    (tmp_path / "staging").rename(tmp_path / "lost")
    rig.settings = type(rig.settings)(gzip_level=0)
    rig.start()
    rig.work()
    rig.assert_sound()
    assert stored(rig) == before


def test_the_early_log_frames_are_released_only_up_to_what_is_staged(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.work()
    assert ArchiveReader(Home(tmp_path), rig.destination).figures().position == 0
    rig.pass_time(11)
    figures = rig.reader.figures()
    assert (figures.position, figures.archived_through) == (1, 0)
    rig.pass_time(2 * 3600)
    assert rig.reader.figures().archived_through >= 1


def test_a_verdict_that_cannot_be_read_is_a_problem_until_it_can(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.verdicts.stopped_by = "no verdict for position 1 can be read"
    rig.pass_time(10)
    [problem] = rig.metrics.snapshot()["problems"]
    assert (problem["key"], problem["text"]) == ("archive.verdicts", rig.verdicts.stopped_by)
    rig.verdicts.stopped_by = ""
    rig.pass_time(3 * 3600)
    assert rig.metrics.snapshot()["problems"] == []
    assert len(rig.object_keys()) == 1


def test_when_ingest_takes_no_seal_it_is_a_problem_until_it_does(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.log.refuse_control = True
    rig.pass_time(2 * 3600)
    assert [p["key"] for p in rig.metrics.snapshot()["problems"]] == ["archive.seal"]
    rig.log.refuse_control = False
    rig.pass_time(10)
    assert rig.metrics.snapshot()["problems"] == []
    assert len(rig.object_keys()) == 1


def test_lookup_finds_a_record_by_its_position_and_key(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    batch = [event(n, NOON, derived=n == 2) for n in range(4)]
    position = rig.log.send(batch)
    rig.pass_time(2 * 3600)
    catalog = rig.reader.catalog
    group = Group(ACCOUNT, REGION, NOON // 3600)
    keys = rig.log.verdicts[position - 1].keys
    for ordinal, each in enumerate(batch):
        key = keys[16 * ordinal : 16 * ordinal + 16]
        assert catalog.lookup(position << 16 | ordinal, group, key) == each.line
    assert catalog.lookup(position << 16 | 1, group, keys[:16]) is None
    assert catalog.lookup((position + 1) << 16, group, keys[:16]) is None


def test_keys_and_prefixes_follow_cloudtrails_layout(tmp_path: Path) -> None:
    rig = Rig(tmp_path, prefix="audit/eu")
    rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    (key,) = [each.key for each in LocalDirectory(rig.home, "opentrail").list()][:1]
    assert key.startswith(f"audit/eu/AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/")
    rig.assert_sound()


def test_settled_is_the_usual_reason(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    assert [m.cut.reason for m in rig.manifests()] == [SETTLED]


def test_lookup_finds_a_record_also_when_a_copy_says_another_region(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    position = rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    key = rig.log.verdicts[position - 1].keys
    asked = Group(ACCOUNT, "us-east-1", NOON // 3600)
    assert rig.reader.catalog.lookup(position << 16, asked, key) == event(1, NOON).line


def test_only_records_between_two_positions_are_read_when_asked_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for n in range(6):
        rig.log.send([event(n * 10 + i, NOON + n * 3600) for i in range(3)])
        rig.pass_time(3600)
    rig.pass_time(3600)
    everything = [record.position for _, record in rig.reader.catalog.all_records()]
    after, through = everything[4], everything[13]
    for path in rig.home.archive.rglob("*_CloudTrail_*"):
        (entry,) = [
            each.objects[0] for each in rig.manifests() if each.objects[0].key.endswith(path.name)
        ]
        if entry.last_position <= after or entry.first_position > through:
            path.write_bytes(b"would fail if it were opened")
    found = rig.reader.catalog.all_records(after, through, {rig.log.log_id})
    assert [record.position for _, record in found] == everything[5:14]


def test_a_bucket_that_an_earlier_log_filled_is_told_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON), event(2, NOON)])
    rig.pass_time(2 * 3600)
    rig.archiver.close()
    (tmp_path / "staging").rename(tmp_path / "lost")
    after = MemoryLog(rig.clock)
    after.log_id = "f" * 32
    again = Rig(tmp_path, log=after)
    again.log.send([event(3, NOON)])
    again.pass_time(2 * 3600)
    figures = again.reader.figures(recount=True)
    assert (figures.archived, figures.of_other_logs, figures.findings) == (1, 2, [])
    assert figures.is_sound
    assert again.verify().problems == []
    assert [each.sequence for each in again.manifests()] == [1, 1]


def test_imported_and_live_events_of_one_batch_are_told_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(1, NOON), event(2, NOON - 86400), event(3, NOON - 86400)], imported=2)
    rig.pass_time(700)
    assert rig.object_keys() == []
    rig.log.append_control("import-ended", {"agent": "web-1", "epoch": "e" * 32})
    rig.pass_time(60)
    assert [m.cut.reason for m in rig.manifests()] == [IMPORT_ENDED]
    assert len(rig.records()) == 2


def test_a_refused_line_of_two_values_does_not_shift_the_categories(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    trick = Event(b'{"eventCategory":"x"} {"eventCategory":"y"}', ACCOUNT, REGION, NOON, "t")
    hidden = event(2, NOON, category="Insight")
    rig.log.send([trick, event(1, NOON), hidden], refused=[0])
    rig.pass_time(2 * 3600)
    (key,) = rig.object_keys("CloudTrail-Insight")
    assert content(rig, key) == expected_object([hidden])
