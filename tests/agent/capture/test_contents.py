"""What is in the files: every kind is taken, and what is no event is refused with its place."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from opentrail.batch import BatchHead, batch_sources
from opentrail.limits import EVENT_MAX_BYTES
from opentrail_agent.capture.settings import MappingSettings, WatchSettings

from .events import ACCOUNT, line, lines, record, records_file
from .rig import Rig, unpack


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "data", [lines(1, 2, 3), records_file(1, 2, 3), records_file(1, 2, 3, indent=2)]
)
def test_every_layout_is_taken_plain_and_compressed(
    tmp_path: Path, data: bytes, packed: bool
) -> None:
    (tmp_path / "a.json").write_bytes(gzip.compress(data) if packed else data)
    rig = Rig(tmp_path, str(tmp_path / "a.json"))
    rig.settle()
    assert rig.numbers == [1, 2, 3]
    assert [json.loads(event.line) for event in rig.events] == [record(n) for n in (1, 2, 3)]


def test_gzip_of_several_members_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    rig = Rig(tmp_path, str(path))
    path.write_bytes(gzip.compress(lines(1)) + b"\0\0")
    rig.settle()
    with path.open("ab") as file:
        file.write(gzip.compress(lines(2)))
    rig.settle()
    rig.restart()
    rig.settle()
    assert rig.numbers == [1, 2]


@pytest.mark.parametrize("how", ["cut off", "damaged"])
def test_gzip_that_ends_badly_is_refused_from_there_on(tmp_path: Path, how: str) -> None:
    data = lines(*range(2000))
    packed = gzip.compress(data)
    bad = packed[: len(packed) // 2]
    if how == "damaged":
        bad += b"\xff" * 5000
    path = tmp_path / "a.json.gz"
    path.write_bytes(bad)
    rig = Rig(tmp_path, str(path))
    rig.settle(12)
    # What comes after is what the damage made of the rest: gzip has no checksum but at its end.
    assert rig.numbers[:900] == list(range(900))
    assert [item.reason for item in rig.refused][-1] == "damaged"
    count = len(rig.refused)
    rig.restart()
    rig.settle(12)
    assert len(rig.refused) == count


REFUSED: list[tuple[bytes, str]] = [
    (b"no json", "not_json"),
    (b'"text"', "not_object"),
    (b"12", "not_object"),
    (b'{"a":1}', "no_event_time"),
    (line(1).replace(b"2026-11-24T", b"yesterday "), "no_event_time"),
    (line(1, recipientAccountId="12", userIdentity=None), "bad_account"),
    (line(1, recipientAccountId=None, userIdentity=None), "bad_account"),
    (line(1, awsRegion="../etc"), "bad_region"),
    (line(1, awsRegion=None), "bad_region"),
    (line(1).replace(b"GetObject", b"Get\xffObject"), "bad_utf8"),
    (line(1).replace(b'"a},', b'"\xc3\x28'), "bad_utf8"),
    (line(1).replace(b"GetObject", b"Get\0Object"), "not_json"),
    (line(1, fill="x" * EVENT_MAX_BYTES), "too_large"),
    (line(1)[:-1] + b',"deep":' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
]


@pytest.mark.parametrize("index", range(len(REFUSED)))
def test_what_is_no_event_is_refused_where_it_lies(tmp_path: Path, index: int) -> None:
    bad, reason = REFUSED[index]
    path = tmp_path / "a.json"
    path.write_bytes(lines(1) + bad + b"\n" + lines(2))
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert rig.numbers == [1, 2]
    (item,) = rig.refused
    assert item.reason == reason
    assert (item.source, item.offset, item.length) == (f"file:{path}", len(lines(1)), len(bad))
    assert item.sha256 == hashlib.sha256(bad).hexdigest()
    assert item.head == bad[: 64 * 1024]


def test_a_source_stands_in_for_account_and_region(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bare = line(1, recipientAccountId=None, userIdentity=None, awsRegion=None)
    path.write_bytes(bare + b"\n")
    rig = Rig(tmp_path, WatchSettings(path=str(path), account=ACCOUNT, region="eu-west-1"))
    rig.settle()
    assert rig.numbers == [1]
    (run,) = batch_sources(rig.spool[0])
    assert (run.account, run.region, run.kind) == (ACCOUNT, "eu-west-1", "follow")
    assert (run.begin, run.end, run.events) == (0, len(bare) + 1, 1)


def test_the_callers_account_stands_in_for_the_recipients(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(line(1, recipientAccountId=None) + b"\n")
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert rig.numbers == [1]


def test_derived_ids_depend_on_place_and_bytes_only(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bare = line(1, eventID=None) + b"\n"
    path.write_bytes(bare * 3 + lines(2) + bare)
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert len(set(rig.ids)) == 5
    assert batch_sources(rig.spool[0])[0].derived.keys() == {0, 1, 2, 4}


def test_much_input_makes_batches_of_about_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"".join(line(n, fill="x" * 900) + b"\n" for n in range(5000)))
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert rig.numbers == list(range(5000))
    sizes = [BatchHead.parse(payload).events_raw_bytes for payload in rig.spool]
    assert all(900_000 <= size <= 1_100_000 for size in sizes[:-1])


@pytest.mark.parametrize("unit", [b"x\n", b'{"a":1}\n', b"{}\n", b"\0x\n", b'{"eventTime":1}'])
def test_a_file_of_rubbish_stays_within_the_limits_of_batches(tmp_path: Path, unit: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(unit * 20_000 + b"\n" + lines(1))
    rig = Rig(tmp_path, str(path))
    rig.settle()
    assert rig.numbers == [1]
    assert sum(item.length for item in rig.refused) >= 20_000 * (len(unit) - 1)


def test_tiny_records_without_ids_stay_within_the_limits_of_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"eventTime":"2026-11-24T10:00:00Z"}\n' * 40_000)
    rig = Rig(tmp_path, WatchSettings(path=str(path), account=ACCOUNT, region="eu-west-1"))
    rig.settle()
    assert len(set(rig.ids)) == 40_000


@pytest.mark.slow
def test_a_line_without_an_end_is_quarantined_in_flat_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.json"
    size = 200_000_000
    with path.open("wb") as file:
        file.write(lines(1) + b'{"eventTime":"')
        file.truncate(size)  # A hole: NUL bytes, which no string holds either.
        file.seek(size)
        file.write(b'"}\n' + lines(2))
    rig = Rig(tmp_path, str(path))
    tracemalloc.start()
    rig.settle()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rig.numbers == [1, 2]
    (item,) = rig.refused
    assert item.offset == len(lines(1))
    assert item.length == size - len(lines(1)) + 2
    assert len(item.head) == 64 * 1024
    assert most < 12_000_000


@pytest.mark.slow
def test_a_large_compressed_file_on_one_line_takes_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"Records":[')
        for number in range(30_000):
            file.write((b"," if number else b"") + line(number, fill="x" * 1000))
        file.write(b"]}")
    rig = Rig(tmp_path, str(path))
    tracemalloc.start()
    count = 0
    until = rig.clock.monotonic() + 2
    while rig.clock.monotonic() < until:
        if rig.step():
            count += len(unpack(rig.spool.pop()).events)
            until = rig.clock.monotonic() + 2
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 30_000
    assert most < 25_000_000


def test_a_turn_is_short_even_if_nothing_comes_of_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    rig = Rig(tmp_path, str(path))
    turn = rig.harvest.turn()
    assert turn.draft is None
    assert turn.wait_seconds == 0
    (follower,) = rig.harvest._census.followers.values()
    assert follower._splitter.read_offset <= 20_000_000


MAPPING = MappingSettings(
    fields={
        "eventTime": "ts",
        "eventName": "action",
        "userIdentity.userName": "user.name",
        "requestParameters.path": "http.path",
        "userAgent": "agent",
        "sourceIPAddress": "client.ip",
    },
    constants={"eventSource": "shop.example.com", "awsRegion": "eu-west-1", "readOnly": "false"},
    time="milliseconds",
)


def mapped(tmp_path: Path, data: bytes, mapping: MappingSettings = MAPPING) -> Rig:
    path = tmp_path / "shop.log"
    path.write_bytes(data)
    rig = Rig(
        tmp_path,
        WatchSettings(path=str(path), kind="mapped", account=ACCOUNT, mapping=mapping),
    )
    rig.settle()
    return rig


def test_other_objects_become_records_by_their_mapping(tmp_path: Path) -> None:
    original = (
        b'{"ts": 1795514400123, "action":"buy", "user":{"name":"ann"}, "client.ip":"10.0.0.1",'
        b' "http":{"path":"/cart"}, "n":1.50}'
    )
    rig = mapped(tmp_path, original + b"\nnot json\n[1]\n" + b'{"action":"x"}\n' + original + b"\n")
    first, second = rig.events
    assert first.id != second.id
    made = json.loads(first.line)
    assert made["eventTime"] == "2026-11-24T10:00:00Z"
    assert (made["eventName"], made["eventSource"]) == ("buy", "shop.example.com")
    assert made["userIdentity"] == {"userName": "ann"}
    assert made["requestParameters"] == {"path": "/cart"}
    assert made["sourceIPAddress"] == "10.0.0.1"
    assert made["readOnly"] is False
    assert b'"original":' + original in first.line
    assert "cut" not in made["additionalEventData"]
    assert [item.reason for item in rig.refused] == ["not_json", "not_object", "no_event_time"]
    assert rig.refused[2].head == b'{"action":"x"}'


def test_no_field_is_cut_without_saying_size_and_hash(tmp_path: Path) -> None:
    agent = "ä" * 2000
    original = {"ts": 1795514400000, "agent": agent, "http": {"path": "y" * 200_000}}
    rig = mapped(tmp_path, json.dumps(original).encode() + b"\n")
    made = json.loads(rig.events[0].line)
    whole = agent.encode()
    assert made["userAgent"] == "ä" * 512
    cut = made["additionalEventData"]["cut"]
    assert cut["userAgent"] == {"size": 4000, "sha256": hashlib.sha256(whole).hexdigest()}
    parameters = json.dumps({"path": "y" * 200_000}, separators=(",", ":")).encode()
    assert made["requestParameters"] == {
        "omitted": True,
        "originalSize": len(parameters),
        "reason": "requestParameters too large",
    }
    assert cut["requestParameters"]["sha256"] == hashlib.sha256(parameters).hexdigest()
    assert made["additionalEventData"]["original"] == original


def test_a_key_of_the_source_names_its_events_for_ever(tmp_path: Path) -> None:
    mapping = MappingSettings(
        fields=MAPPING.fields, constants=MAPPING.constants, time="seconds", key=["id", "user.name"]
    )
    one = b'{"ts":1795514400,"id":7,"user":{"name":"ann"}}\n'
    other = b'{"ts":1795514400,"id":8,"user":{"name":"ann"}}\n'
    rig = mapped(tmp_path, one + other + one, mapping)
    assert rig.ids[0] == rig.ids[2] != rig.ids[1]


def test_without_all_of_its_key_the_place_names_an_event(tmp_path: Path) -> None:
    mapping = MappingSettings(
        fields=MAPPING.fields, constants=MAPPING.constants, time="seconds", key=["id", "user.name"]
    )
    rig = mapped(tmp_path, b'{"ts":1795514400,"id":7}\n' * 2, mapping)
    assert len(set(rig.ids)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"eventName": "x"}, "eventTime"), ({"eventTime": "t", "additionalEventData.a": "b"}, "add")],
)
def test_a_mapping_that_cannot_work_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MappingSettings(fields=fields)


def test_a_report_covers_all_that_was_there_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(lines(1))
    rig = Rig(tmp_path, str(path))
    turn = rig.harvest.turn()
    assert turn.draft is not None
    assert rig.harvest.report.reported_at_ns == 0  # Read and sealed, but not in the spool.
    began = rig.clock.now_ns()
    rig.harvest.turn(turn)
    report = rig.harvest.report
    assert report.reported_at_ns == began
    (source,) = report.sources
    assert (source["position"], source["size"], source["ended"]) == (
        len(lines(1)), len(lines(1)), False,
    )  # fmt: skip
    rig.settle()
    assert rig.harvest.report.reported_at_ns > began
