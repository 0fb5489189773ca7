"""The quarantine keeps what it is given, counts by log position, and gives it back for replay."""

from pathlib import Path

import pytest

from opentrail.batch import refused_item
from opentrail_aggregator.consolidate.verdict import COPY, KEPT, REFUSED
from opentrail_aggregator.quarantine.item import Item, item_of
from opentrail_aggregator.quarantine.replay import AGENT, prepare_replay
from opentrail_aggregator.quarantine.settings import QuarantineSettings
from opentrail_aggregator.quarantine.store import QuarantineStore
from tests.aggregator.consolidate.world import EVERYTHING, World, line


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def item(position: int, number: int = 0, events: int = 1) -> Item:
    return item_of(
        b"x",
        10,
        id=f"{position}-{number}",
        position=position,
        ordinal=number,
        reason="not_json",
        events=events,
    )


def store(world: World, after: int = 0, **settings: int) -> QuarantineStore:
    return QuarantineStore(world.home.quarantine, QuarantineSettings(**settings), after)  # type: ignore[arg-type]


def test_what_is_appended_again_after_a_crash_is_left_out(world: World) -> None:
    first = store(world)
    assert first.append([item(5), item(5, 1), item(6)]) == 3
    first.sync()
    first.close()
    again = store(world, after=4)
    assert again.append([item(5), item(5, 1), item(6), item(7)]) == 1
    again.sync()
    assert again.events == 4
    assert world.quarantine.count_through(99) == 4


def test_the_same_position_in_one_life_is_not_counted_twice_either(world: World) -> None:
    kept = store(world)
    kept.append([item(5)])
    assert kept.append([item(5), item(6)]) == 1


def test_many_items_behind_the_last_verdict_are_all_known_again(world: World) -> None:
    first = store(world, segment_bytes=20_000)
    first.append([item(1, number) for number in range(10)])
    first.settled()
    first.append([item(position, 0) for position in range(2, 2_600)])
    first.sync()
    first.close()
    again = store(world, after=1, segment_bytes=20_000)
    assert again.append([item(position, 0) for position in range(2, 2_600)]) == 0


def test_counts_are_by_log_position_and_by_events(world: World) -> None:
    kept = store(world, segment_bytes=1_000)
    kept.append([item(position, 0, events=position) for position in range(1, 41)])
    kept.sync()
    reader = world.quarantine
    assert reader.count_through(0) == 0
    assert reader.count_through(3) == 6
    assert reader.count_through(40) == 820
    assert len(list(world.home.quarantine.glob("*.seg"))) > 3
    kept.append([item(41)])
    kept.sync()
    assert reader.count_through(41) == 821


def test_an_item_taken_out_of_the_store_is_missed_by_the_count(world: World) -> None:
    kept = store(world, segment_bytes=1_000)
    kept.append([item(position) for position in range(1, 41)])
    kept.sync()
    kept.close()
    victim = sorted(world.home.quarantine.glob("*.seg"))[2]
    data = bytearray(victim.read_bytes())
    data[data.index(b'"type":"item"') + 3] ^= 1
    victim.write_bytes(data)
    assert world.quarantine.count_through(99) == 39


def test_items_are_listed_newest_first_by_reason_and_in_pages(world: World) -> None:
    world.send([b"[]", line("a"), b"{}"])
    world.send([b"[]"])
    world.run()
    listed = [each.id for each, _ in world.quarantine.list()]
    assert listed == ["3-0", "2-1", "2-0"]
    assert [each.id for each, _ in world.quarantine.list(reason="no_event_time")] == ["2-1"]
    assert [each.id for each, _ in world.quarantine.list(limit=2)] == listed[:2]
    assert [each.id for each, _ in world.quarantine.list(after="3-0", limit=1)] == ["2-1"]
    shown = world.quarantine.show("2-0")
    assert shown is not None
    assert shown.content == b"[]"
    assert world.quarantine.show("9-9") is None


def test_bytes_beyond_the_limit_are_cut_and_length_and_hash_are_of_the_whole() -> None:
    whole = item_of(b"abcdef", 4, id="1-0", position=1, ordinal=0, reason="x")
    assert whole.content == b"abcd"
    assert whole.length == 6
    assert not whole.is_whole
    assert whole.sha256 == "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721"


GRANT_ONE = {"grants": [{"agent": "web-*", "accounts": ["1*"], "regions": ["*"]}]}


def replay(world: World, ids: list[str]) -> tuple[int, list[tuple[str, str]]]:
    """As the command does it: submit what can be, then have the log say so."""
    items = [each for each in world.items() if each.id in ids]
    prepared = prepare_replay(items)
    position = 0
    for payload, submitted in prepared.batches:
        position = world.send_payload(payload, len(submitted), 0, agent=AGENT)
        world.control("replayed", {"ids": submitted})
    world.run()
    return position, prepared.left


def test_a_replayed_event_is_judged_again_and_its_item_stays_counted_and_marked(
    world: World,
) -> None:
    world.control("settings", GRANT_ONE)
    foreign = line("a", recipientAccountId="999999999999")
    refused = world.send([foreign, line("b")])
    assert world.outcomes(refused) == [REFUSED, KEPT]
    world.control("settings", EVERYTHING)
    (item,) = world.items()
    position, left = replay(world, [item.id])
    assert left == []
    assert world.outcomes(position) == [KEPT]
    assert [(each.id, done) for each, done in world.quarantine.list()] == [(item.id, True)]
    assert world.quarantine.count_through(position) == 1
    again, _ = replay(world, [item.id])
    assert world.outcomes(again) == [COPY]


def test_a_mark_is_written_once_however_often_the_log_is_read(world: World) -> None:
    world.send([b"[]"])
    world.run()
    world.control("replayed", {"ids": ["2-0"]})
    world.run()
    world.restart()
    world.run()
    assert world.quarantine.replayed() == {"2-0"}
    assert world.quarantine.count_through(99) == 1


def test_a_derived_id_and_the_source_defaults_travel_with_a_replay(world: World) -> None:
    world.control("settings", {})
    bare = line(eventID=None, awsRegion=None, recipientAccountId=None, userIdentity=None)
    world.send([bare], derived={0: "d-1"}, account="111122223333", region="eu-west-1")
    world.run()
    position, left = replay(world, ["3-0"])
    assert left == []
    assert world.outcomes(position) == [KEPT]
    assert world.verdict(position).derived == {0: "d-1"}


def test_what_cannot_be_replayed_stays_with_its_reason(world: World) -> None:
    cut = refused_item(b"{", source="s", offset=0, reason="too_large", length=99)
    broken = refused_item(b"{}\n{}", source="s", offset=0, reason="not_json")
    world.send([b"[]"], refused=[cut, broken])
    world.run()
    _, left = replay(world, ["2-0", "2-1", "2-2"])
    assert dict(left) == {
        "2-0": "it is still no event: not_object",
        "2-1": "only 1 of its 99 bytes were kept",
        "2-2": "it holds a line break",
    }


def test_a_large_replay_is_split_into_batches(world: World) -> None:
    world.control("settings", {})
    lines = [line(f"e{number}", fill="x" * 40_000) for number in range(60)]
    world.send(lines)
    world.run()
    prepared = prepare_replay(world.items())
    assert len(prepared.batches) == 3
    assert sorted(each for _, ids in prepared.batches for each in ids) == sorted(
        item.id for item in world.items()
    )
