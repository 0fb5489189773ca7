"""Several trails over one archive: who takes what, from where in the log on; sums close."""

import gzip
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opentrail_aggregator.archive.manifest import Previous, encode_manifest, manifest_key
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.trails.trail import TrailSpec, default_trail
from tests.aggregator.archive.rig import ACCOUNT, NOON, Event, Rig, event
from tests.aggregator.digest.rig import DigestRig

OTHER = "444455556666"
DEFAULT = default_trail("000000000000", "us-east-1")
HOUR = 3600
WRITES = [
    {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "readOnly", "Equals": ["false"]},
        ]
    }
]
READS = msgspec.json.decode(msgspec.json.encode(WRITES).replace(b"false", b"true"))


def spec(name: str = "audit", **members: Any) -> TrailSpec:
    known = {
        "home_region": "us-east-1", "account": ACCOUNT, "bucket": "opentrail", "prefix": name,
        "logging": True, "multi_region": True, "validation": True,
    }  # fmt: skip
    return TrailSpec(name=name, **{**known, **members})


def put(rig: Rig, trail: TrailSpec) -> None:
    """The trail is so from here on."""
    body = {"arn": trail.arn, "number": len(rig.log.entries) + 1}
    rig.log.append_control("trail", {**body, "trail": msgspec.to_builtins(trail)})


def delete(rig: Rig, trail: TrailSpec) -> None:
    body = {"arn": trail.arn, "number": len(rig.log.entries) + 1, "trail": None}
    rig.log.append_control("trail", body)


def saying(of: Event, **members: Any) -> Event:
    """The event with more members."""
    more = msgspec.json.encode(members)[1:-1]
    return msgspec.structs.replace(of, line=of.line[:-1] + b", " + more + b"}")


def some(first: int, count: int, time: int = NOON, **more: Any) -> list[Event]:
    """Events of which every other one is a read."""
    return [
        saying(event(number, time, **more), readOnly=number % 2 == 0)
        for number in range(first, first + count)
    ]


def number_in(line: bytes) -> int:
    found = re.search(rb'"n":([0-9]+)', line)
    assert found is not None
    return int(found[1])


def held(rig: Rig, trail: TrailSpec) -> list[int]:
    """Numbers of the events that were delivered to the trail, in its own objects."""
    found: list[int] = []
    catalog = rig.reader.catalog
    for key in catalog.manifest_keys():
        manifest = catalog.manifest(key)
        if manifest.trail != trail.arn:
            continue
        for entry in manifest.objects:
            assert entry.key.startswith(f"{trail.root}/"), entry.key
            found += [number_in(each.line) for each in catalog.records(entry)]
    return sorted(found)


def numbers(events: Iterable[int]) -> list[int]:
    return sorted(events)


def assert_closed(rig: Rig) -> None:
    figures = rig.reader.figures(recount=True)
    assert figures.findings == []
    assert figures.archived + figures.unselected + figures.pending == figures.kept_total
    for arn, own in figures.trails.items():
        assert own.archived + own.unselected + own.pending == own.kept, arn
    assert rig.verify().problems == []


def started(path: Path, *trails: TrailSpec, **more: Any) -> Rig:
    rig = Rig(path, **more)
    rig.grant_all()
    for each in trails:
        put(rig, each)
    return rig


def test_each_trail_has_what_it_selects_and_an_event_counts_once(tmp_path: Path) -> None:
    writes, reads = spec("writes", advanced=WRITES), spec("reads", advanced=READS)
    rig = started(tmp_path, writes, reads)
    rig.log.send(some(1, 10) + some(11, 4, account=OTHER) + some(15, 6))
    rig.pass_time(2 * HOUR)
    assert held(rig, DEFAULT) == numbers(range(1, 21))
    own = [*range(1, 11), *range(15, 21)]  # Events of another account are none of theirs.
    assert held(rig, writes) == [each for each in own if each % 2]
    assert held(rig, reads) == [each for each in own if each % 2 == 0]
    figures = rig.reader.figures()
    assert (figures.archived, figures.unselected) == (20, 0)
    assert figures.trails[writes.arn].unselected == 12
    assert_closed(rig)
    assert len(rig.records()) == 20


def test_a_change_holds_for_what_comes_after_it_whatever_its_time(tmp_path: Path) -> None:
    rig = started(tmp_path)
    rig.log.send(some(1, 4))
    put(rig, spec(advanced=WRITES))
    rig.log.send(some(5, 4, time=NOON - 5 * HOUR))
    put(rig, spec(advanced=READS))
    rig.log.send(some(9, 4))
    rig.pass_time(2 * HOUR)
    assert held(rig, spec()) == [5, 7, 10, 12]
    assert rig.reader.figures().trails[spec().arn].kept == 8
    assert_closed(rig)


def test_a_stop_cuts_what_is_open_and_later_arrivals_are_unselected(tmp_path: Path) -> None:
    rig = started(tmp_path, spec())
    rig.log.send(some(1, 3))
    put(rig, spec(logging=False))
    rig.work()
    assert held(rig, spec()) == [1, 2, 3]
    assert held(rig, DEFAULT) == []  # Its part stays open.
    (manifest,) = rig.manifests()
    assert (manifest.cut.reason, manifest.trail) == ("stopped", spec().arn)
    rig.log.send(some(4, 3))
    put(rig, spec())
    rig.log.send(some(7, 2))
    rig.pass_time(2 * HOUR)
    assert held(rig, spec()) == [1, 2, 3, 7, 8]
    assert rig.reader.figures().trails[spec().arn].unselected == 3
    assert held(rig, DEFAULT) == numbers(range(1, 9))
    assert_closed(rig)


def test_what_no_trail_takes_is_unselected_and_never_said_to_be_recoverable(tmp_path: Path) -> None:
    rig = started(tmp_path)
    rig.log.send(some(1, 3))
    put(rig, msgspec.structs.replace(DEFAULT, logging=False))
    before = len(rig.log.entries)
    rig.log.send(some(4, 5))
    rig.pass_time(2 * HOUR)
    figures = rig.reader.figures()
    assert (figures.archived, figures.unselected, figures.kept_total) == (3, 5, 8)
    assert_closed(rig)
    rig.archiver.close()
    current = read_current(rig.home.staging)
    assert current is not None
    assert current.state["unselected_frames"]["spans"] == [[before + 1, before + 1]]
    rig.start()
    put(rig, DEFAULT)
    rig.log.send(some(9, 2))
    rig.pass_time(2 * HOUR)
    assert held(rig, DEFAULT) == [1, 2, 3, 9, 10]
    assert_closed(rig)


def test_a_deleted_trail_still_delivers_what_it_owes(tmp_path: Path) -> None:
    rig = started(tmp_path, spec())
    rig.log.send(some(1, 3))
    rig.work()
    delete(rig, spec())
    rig.log.send(some(4, 3))
    rig.pass_time(2 * HOUR)
    assert held(rig, spec()) == [1, 2, 3]
    assert list(rig.reader.figures().trails) == [DEFAULT.arn]
    assert_closed(rig)
    put(rig, spec())
    rig.log.send(some(7, 1))
    rig.pass_time(2 * HOUR)
    assert rig.reader.figures().trails[spec().arn].archived == 1
    assert_closed(rig)


def test_a_move_to_another_prefix_leaves_what_came_before_where_it_was(tmp_path: Path) -> None:
    rig = started(tmp_path, spec(prefix="old"))
    rig.log.send(some(1, 3))
    put(rig, spec(prefix="new"))
    rig.log.send(some(4, 3))
    rig.pass_time(2 * HOUR)
    roots = {}
    for key in rig.reader.catalog.manifest_keys():
        manifest = rig.reader.catalog.manifest(key)
        if manifest.trail == spec().arn:
            roots[key.partition("/")[0]] = manifest.events
    assert roots == {"old": 3, "new": 3}
    assert_closed(rig)


def test_network_activity_and_insights_have_folders_of_their_own(tmp_path: Path) -> None:
    network = [
        {
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["NetworkActivity"]},
                {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]},
            ]
        }
    ]
    trail = spec(advanced=network, insights=[{"InsightType": "ApiCallRateInsight"}])
    deaf = spec("deaf", advanced=network)
    rig = started(tmp_path, trail, deaf)
    rig.log.send(
        [
            saying(event(1, NOON, category="NetworkActivity"), eventSource="kms.amazonaws.com"),
            event(2, NOON, category="Insight"),
            event(3, NOON),
            saying(event(4, NOON, category="NetworkActivity"), eventSource="s3.amazonaws.com"),
        ]
    )
    rig.pass_time(2 * HOUR)
    assert held(rig, trail) == [1, 2]
    assert held(rig, deaf) == [1]
    folders = {each.key.split("/")[3] for each in rig.destination.list(f"{trail.root}/")} - {
        "OpenTrail-Manifest"
    }
    assert folders == {"CloudTrail-NetworkActivity", "CloudTrail-Insight"}
    assert_closed(rig)


def test_a_trail_of_an_organization_has_its_members_below_the_organization(tmp_path: Path) -> None:
    trail = spec(organization="o-exampleorgid", members=(OTHER,))
    rig = started(tmp_path, trail)
    rig.log.send(some(1, 2) + some(3, 2, account=OTHER) + some(5, 2, account="999988887777"))
    rig.pass_time(2 * HOUR)
    assert held(rig, trail) == [1, 2, 3, 4]
    below = {each.key.split("/")[3] for each in rig.destination.list("audit/AWSLogs/")}
    assert below == {ACCOUNT, OTHER}
    assert_closed(rig)


def test_a_single_region_trail_hears_of_its_region_only(tmp_path: Path) -> None:
    trail = spec(multi_region=False, home_region="eu-west-1", global_events=True)
    deaf = spec("deaf", multi_region=False, global_events=False)
    rig = started(tmp_path, trail, deaf)
    iam = saying(event(5, NOON, region="us-east-1"), eventSource="iam.amazonaws.com")
    rig.log.send([*some(1, 2, region="eu-west-1"), *some(3, 2, region="us-east-1"), iam])
    rig.pass_time(2 * HOUR)
    assert held(rig, trail) == [1, 2]
    assert held(rig, deaf) == [3, 4]
    assert_closed(rig)


@pytest.mark.parametrize(
    "members",
    [
        {"resources": "1e999"},
        {"eventSource": {"a": []}, "readOnly": [], "userIdentity": 7, "resources": {"ARN": 1}},
        {"eventCategory": ["Management"]},
        {"resources": [{"ARN": None, "type": {}}, 3, []]},
    ],
)
def test_no_record_stops_the_archive(tmp_path: Path, members: dict[str, Any]) -> None:
    picky = spec(
        basic=[
            {
                "ExcludeManagementEventSources": ["kms.amazonaws.com"],
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/"]}],
            }
        ],
        recursive=False,
    )
    rig = started(tmp_path, picky, spec("writes", advanced=WRITES, global_events=False))
    hostile = saying(event(1, NOON), **members)
    hostile = msgspec.structs.replace(hostile, line=hostile.line.replace(b'"1e999"', b"[1e999]"))
    rig.log.send([hostile, *some(2, 2)])
    rig.pass_time(2 * HOUR)
    assert held(rig, DEFAULT) == [1, 2, 3]
    assert_closed(rig)


def test_a_frame_that_is_no_trail_is_told_and_changes_nothing(tmp_path: Path) -> None:
    rig = started(tmp_path, spec())
    rig.log.append_control("trail", {"arn": spec().arn, "number": 99, "trail": {"name": "../x"}})
    rig.log.send(some(1, 2))
    rig.pass_time(2 * HOUR)
    problems = rig.metrics.snapshot()["problems"]
    assert [each["key"] for each in problems] == ["archive.trail_frame"]
    assert "change of a trail cannot be read" in problems[0]["text"]
    assert held(rig, spec()) == [1, 2]
    put(rig, spec())
    rig.pass_time(60)
    assert rig.metrics.snapshot()["problems"] == [], "it was changed once more"


def test_a_change_that_is_written_twice_holds_once(tmp_path: Path) -> None:
    rig = started(tmp_path)
    stop = {"arn": spec().arn, "number": 50, "trail": msgspec.to_builtins(spec(logging=False))}
    go = {"arn": spec().arn, "number": 51, "trail": msgspec.to_builtins(spec())}
    for body in (stop, go, stop):  # Out of order: of a client that was cut off.
        rig.log.append_control("trail", body)
    rig.log.send(some(1, 2))
    rig.pass_time(2 * HOUR)
    assert held(rig, spec()) == [1, 2]


def test_a_rebuild_reads_each_event_once_where_trails_overlap_in_part(tmp_path: Path) -> None:
    rig = started(
        tmp_path, msgspec.structs.replace(DEFAULT, everything=False, advanced=WRITES),
        spec(advanced=[*WRITES, *READS]), spec("reads", advanced=READS), spec("all"),
    )  # fmt: skip
    rig.log.send(some(1, 20))
    rig.log.send(some(21, 9, category="Data") + some(30, 5))
    rig.pass_time(2 * HOUR)
    found = sorted(number_in(each) for each in rig.records())
    assert found == [*range(1, 21), *range(30, 35)]
    assert rig.reader.figures().unselected == 9
    assert_closed(rig)


def test_a_restart_anywhere_leaves_the_same_objects(tmp_path: Path) -> None:
    def fill(rig: Rig) -> None:
        rig.log.send(some(1, 6))
        put(rig, spec(advanced=WRITES))
        rig.log.send(some(7, 6))
        put(rig, spec(advanced=WRITES, logging=False))
        rig.log.send(some(13, 6))

    whole = started(tmp_path / "a")
    fill(whole)
    whole.pass_time(2 * HOUR)
    broken = Rig(tmp_path / "b", log=whole.log, checkpoint=0.001)
    for _ in range(200):
        broken.archiver.step()
        broken.start()  # As if it died: nothing is closed.
    broken.pass_time(2 * HOUR)
    assert held(broken, spec()) == held(whole, spec()) == [7, 9, 11]
    listed = [
        {each.key for each in rig.destination.list() if "/CloudTrail/" in each.key}
        for rig in (whole, broken)
    ]
    assert listed[0] == listed[1]
    assert_closed(broken)


def test_a_stop_writes_the_final_digest_and_a_start_a_starting_one(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.grant_all()
    rig.home.digest.mkdir(parents=True, exist_ok=True)
    put(rig, spec())
    quiet = spec("quiet", validation=False)
    put(rig, quiet)
    rig.send()
    rig.pass_time(HOUR, step=300)
    rig.send()
    rig.pass_time(600, step=60)
    put(rig, spec(logging=False))
    rig.pass_time(3 * HOUR, step=300)
    chain = [each for each in rig.digester.chains if each.trail == spec().arn]
    assert [each.ended for each in chain] == [True]
    put(rig, spec())
    rig.send()
    rig.pass_time(3 * HOUR, step=300)
    (state,) = [each for each in rig.digester.chains if each.trail == spec().arn]
    assert len(state.runs) == 2
    assert state.root == "audit/AWSLogs"
    assert not [each for each in rig.digester.chains if each.trail == quiet.arn]
    report = rig.check()
    assert report.problems == []
    assert report.unvalidated == {quiet.arn: len(held_keys(rig, quiet))}


def test_validation_that_is_switched_off_and_on_again_is_known_of_each_file(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.grant_all()
    off, on = spec(validation=False), spec()
    for trail in (on, off, on):
        put(rig, trail)
        rig.send()
        rig.pass_time(HOUR, step=300)
    rig.pass_time(3 * HOUR, step=300)
    assert len(held_keys(rig, on)) == 3
    report = rig.check()
    assert (report.problems, report.unvalidated) == ([], {on.arn: 1})


def test_verify_beside_a_working_archive_knows_what_no_digest_lists(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path, checkpoint=86400.0)
    rig.grant_all()
    put(rig, spec("quiet", validation=False))
    rig.send()
    rig.clock.advance(2 * HOUR)
    seen: set[tuple[str, int]] = set()
    for _ in range(40):
        rig.role.step()
        report = rig.check()
        assert report.problems == []
        seen |= report.unvalidated.items()
    assert seen == {(spec("quiet").arn, 1)}


def test_nobody_hides_a_file_behind_a_trail_without_validation(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.grant_all()
    quiet = spec("quiet", validation=False)
    put(rig, quiet)
    rig.send()
    rig.pass_time(3 * HOUR, step=300)
    rig.role.close()
    key = rig.reader.catalog.manifest(newest_manifest(rig, quiet)).objects[0].key
    for following in (True, False):
        added = forge(rig, newest_manifest(rig, quiet), following=following)
        report = rig.check()
        assert f"{added}: no digest lists this log file" in report.problems
        assert report.unvalidated == {quiet.arn: 1}
    (tmp_path / "archive" / "opentrail" / key).unlink()
    assert any(each.startswith(f"{key}: ") for each in rig.check().problems)


def held_keys(rig: Rig, trail: TrailSpec) -> list[str]:
    """Log files below the trail's own prefix."""
    return [each.key for each in rig.destination.list(f"{trail.root}/") if is_log(each.key)]


def is_log(key: str) -> bool:
    return "/CloudTrail/" in key


def newest_manifest(rig: Rig, trail: TrailSpec) -> str:
    catalog = rig.reader.catalog
    keys = [key for key in catalog.manifest_keys() if catalog.manifest(key).trail == trail.arn]
    return max(keys, key=lambda key: catalog.manifest(key).sequence)


def forge(rig: Rig, of: str, *, following: bool) -> str:
    """What somebody with the bucket could add: a file, and a manifest that speaks for it."""
    bucket = rig.home.archive / "opentrail"
    manifest = rig.reader.catalog.manifest(of)
    entry = manifest.objects[0]
    sha256 = hashlib.sha256(rig.reader.catalog.read(of)).hexdigest()
    unique = f"{'F' if following else 'S'}{'0' * 15}"
    added = f"{entry.key.rpartition('_')[0]}_{unique}.json.gz"
    (bucket / added).write_bytes((bucket / entry.key).read_bytes())
    forged = msgspec.structs.replace(
        manifest,
        sequence=manifest.sequence + 1 if following else 1,
        previous=Previous(key=of, sha256=sha256) if following else None,
        objects=[msgspec.structs.replace(entry, key=added)],
    )
    forged.cut = msgspec.structs.replace(forged.cut, position=forged.cut.position + 1)
    forged.trail += "" if following else "-other"
    path = bucket / manifest_key("quiet", forged)
    path.write_bytes(gzip.compress(encode_manifest(forged), mtime=0))
    return added
