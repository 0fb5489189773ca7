"""What is no event here goes to quarantine whole, with agent, source, place and reason."""

import base64
import json
from typing import Any

import pytest

from opentrail.batch import HEAD_BYTES, SourceRun, refused_item, seal_batch
from opentrail_aggregator.consolidate.verdict import COPY, KEPT, REFUSED
from tests.aggregator.consolidate.world import NOW, World, line

DAY = 86_400


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "not_json"),
        (b"{", "not_json"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b"", "not_json"),
        (b'{"a":1}{"b":2}', "not_json"),
        (b"{}", "no_event_time"),
        (line(eventTime="yesterday"), "no_event_time"),
        (line(eventTime=1_700_000_000), "no_event_time"),
        (line(recipientAccountId="../../etc"), "bad_account"),
        (line(recipientAccountId="1" * 13), "bad_account"),
        (line(recipientAccountId="\u0661" * 12), "bad_account"),
        (line(awsRegion="../us-east-1"), "bad_region"),
        (line(awsRegion="eu-west-1\u0000"), "bad_region"),
        (line(awsRegion="r" * 41), "bad_region"),
        (line(eventID=None), "no_event_id"),
        (line("x" * 257), "bad_event_id"),
        (line("a\nb"), "bad_event_id"),
        (b'{"a":"\xff"}', "bad_utf8"),
        (line("a").replace(b"RunInstances", b"Run\xffInstances"), "bad_utf8"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "too_deep"),
        (line("a", deep=0).replace(b"0}", b"[" * 3000 + b"]" * 3000 + b"}"), "too_deep"),
        (line(fill="x" * (1 << 20)), "too_large"),
        (line("a").replace(b"ada", b"\\ud800"), "not_json"),
        (line("a").replace(b"ada", b"a\x00b"), "not_json"),
    ],
)
def test_what_is_no_event_is_refused_and_its_neighbours_are_kept(
    world: World, bad: bytes, reason: str
) -> None:
    at = world.send([line("before"), bad, line("after")])
    assert world.outcomes(at) == [KEPT, REFUSED, KEPT]
    (item,) = world.items()
    assert (item.reason, item.ordinal, item.position) == (reason, 1, at)
    assert item.length == len(bad)
    assert item.content == bad[: 1 << 20]
    assert (item.agent, item.source) == ("web-1", "file:/var/log/trail.json")
    assert world.verdict(at).quarantined_total == 1


@pytest.mark.parametrize(
    "odd",
    [
        line("o", eventTime="1900-01-01T00:00:00Z"),
        line("o", eventTime="0001-01-01T00:00:00Z"),
        line("o", eventTime="2025-12-31T11:59:60Z"),
        line("o", eventTime="2025-12-31T12:00:00.123+01:00"),
        line("o", **{f"key{number}": number for number in range(10_000)}),
        line("o").replace(b'"eventID":"o"', b'"eventID":"x","eventID":"o"'),
        line("o", userAgent="\u0000\u202e\ud7ff"),
        line("o", eventName=["not", "a", "string"], userIdentity=7, eventSource={"a": 1}),
        line("o", awsRegion=None),
        line("o", recipientAccountId=None),
        b"  " + line("o") + b"  ",
        line("o").replace(b'":', b'" : \r '),
        line("\u00e9" * 128),
        line("o", number=0).replace(b"0}", b"1" * 5000 + b"}"),
    ],
)
def test_what_is_odd_and_yet_an_event_is_kept_once(world: World, odd: bytes) -> None:
    defaults: dict[str, Any] = {"account": "111122223333", "region": "eu-west-1"}
    at = world.send([odd, line("n"), odd], **defaults)
    assert world.outcomes(at) == [KEPT, KEPT, COPY]
    assert world.items() == []


def test_two_values_on_a_line_and_one_over_two_lines_shift_nothing(world: World) -> None:
    forged = line("true", recipientAccountId="999999999999")
    broken = line("b")
    at = world.send([forged + line("x"), broken[:1], broken[1:], line("n")])
    assert world.outcomes(at) == [REFUSED, REFUSED, REFUSED, KEPT]


def test_events_more_than_a_day_ahead_are_refused_and_alarmed(world: World) -> None:
    at = world.send(
        [
            line("edge", eventTime="2026-01-02T00:00:00Z"),
            line("over", eventTime="2026-01-02T00:00:01Z"),
        ]
    )
    assert world.outcomes(at) == [KEPT, REFUSED]
    assert world.items()[0].reason == "future"
    assert "alarm.future" in world.problems()
    later = world.send([line("far", eventTime="2999-01-01T00:00:00Z")])
    assert world.outcomes(later) == [REFUSED]


def test_a_future_event_is_judged_by_its_arrival_and_not_by_the_clock_of_the_judge(
    world: World,
) -> None:
    at = world.send([line("a", eventTime="2026-01-03T00:00:00Z")])
    world.clock.advance(5 * DAY)
    assert world.clock.now_ns() // 10**9 > NOW
    assert world.outcomes(at) == [REFUSED]


def test_what_the_agent_refused_is_in_the_quarantine_as_it_told(world: World) -> None:
    item = refused_item(
        b"garbage", source="file:/a", offset=77, reason="not_json", length=2_000_000_000
    )
    at = world.send([line("a")], refused=[item])
    assert world.outcomes(at) == [KEPT]
    (kept,) = world.items()
    assert (kept.reason, kept.offset, kept.length, kept.ordinal) == (
        "not_json",
        77,
        2_000_000_000,
        -1,
    )
    assert kept.content == b"garbage"
    assert not kept.is_whole
    assert world.verdict(at).quarantined_total == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:HEAD_BYTES] + b"x" + payload[HEAD_BYTES + 1 :],
        lambda payload: payload[:-20] + bytes(20),
        lambda payload: b"OTB2" + payload[4:],
        lambda payload: payload[:4] + (9).to_bytes(4, "little") + payload[8:],
        lambda payload: payload[:12] + (1).to_bytes(4, "little") + payload[16:],
        lambda payload: payload[:12] + (2**32 - 1).to_bytes(4, "little") + payload[16:],
        lambda payload: b"",
    ],
    ids=["sources", "zstd", "magic", "count", "raw size small", "raw size huge", "empty"],
)
def test_a_batch_that_cannot_be_opened_is_one_item_that_counts_all_its_events(
    world: World, spoil: Any
) -> None:
    whole = seal_batch(
        line("a") + b"\n" + line("b") + b"\n", 2, [SourceRun(source="s", events=2)], []
    )
    payload = spoil(whole)
    at = world.send_payload(payload, 2, 1)
    good = world.send([line("a"), line("b")])
    assert world.outcomes(good) == [KEPT, KEPT]
    verdict = world.verdict(at)
    assert list(verdict.outcomes) == [REFUSED, REFUSED]
    assert verdict.damage
    assert verdict.quarantined_total == 3
    (item,) = world.items()
    assert (item.reason, item.events) == ("damaged", 3)
    assert base64.b64decode(item.bytes) == payload
    assert world.quarantine.count_through(good) == 3
    assert "consolidate.unopened" in world.problems()


def test_sources_that_claim_other_numbers_than_there_are_make_the_batch_unreadable(
    world: World,
) -> None:
    runs = [SourceRun(source="s", events=1), SourceRun(source="t", events=2)]
    at = world.send([line("a"), line("b")], sources=runs)
    assert world.outcomes(at) == [REFUSED, REFUSED]


def test_each_line_takes_what_it_lacks_from_its_own_source(world: World) -> None:
    runs = [
        SourceRun(source="s", events=1, account="100000000000", region="eu-west-1"),
        SourceRun(source="empty", events=0, account="200000000000", region="eu-west-2"),
        SourceRun(source="t", events=1, account="300000000000", region="eu-west-3"),
    ]
    bare = {"recipientAccountId": None, "awsRegion": None, "userIdentity": {"type": "X"}}
    at = world.send([line("a", **bare), line("b", **bare)], sources=runs)
    world.run()
    groups = [group for _, group in world.verdict(at).kept()]
    assert [(group.account, group.region) for group in groups] == [
        ("100000000000", "eu-west-1"),
        ("300000000000", "eu-west-3"),
    ]


def test_a_flood_of_refusals_is_counted_to_the_last(world: World) -> None:
    at = world.send([b"{}"] * 3_000)
    world.run()
    assert world.quarantine.count_through(at) == 3_000
    assert world.metrics.value("opentrail_quarantine_items_total", reason="no_event_time") == 3_000


def test_an_item_is_json_that_others_can_read(world: World) -> None:
    world.send([b"\xff\xfe"])
    world.run()
    (segment,) = world.home.quarantine.glob("*.seg")
    data = segment.read_bytes()
    begin = data.index(b'{"type":"item"')
    item = json.loads(data[begin : data.index(b"}", begin) + 1])
    assert item["reason"] == "bad_utf8"
    assert base64.b64decode(item["bytes"]) == b"\xff\xfe"
