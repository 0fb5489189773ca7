"""An event is kept once per account, eventID and hour; equal ones are copies, others conflicts."""

import json

import pytest

from opentrail.identity import event_key
from opentrail_aggregator.consolidate.verdict import CONFLICT, COPY, KEPT, NO_GROUP, Group
from tests.aggregator.consolidate.world import World, line, record


def test_a_verdict_says_of_each_event_whose_it_is_and_when(world: World) -> None:
    at = world.send([line("a"), line("b", recipientAccountId="444455556666")])
    world.run()
    verdict = world.verdict(at)
    assert verdict.position == at
    assert list(verdict.outcomes) == [KEPT, KEPT]
    assert list(verdict.kept()) == [
        (0, Group("111122223333", "eu-west-1", 490_882)),
        (1, Group("444455556666", "eu-west-1", 490_882)),
    ]
    assert verdict.time(1) == 1_767_175_872
    assert verdict.key(1) == event_key("444455556666", "b", 490_882)
    assert (verdict.kept_total, verdict.copies_total, verdict.quarantined_total) == (2, 0, 0)


def test_a_control_frame_has_an_empty_verdict(world: World) -> None:
    at = world.control("seal", {"part": 1})
    world.run()
    assert world.verdict(at).events == 0
    assert world.verdict(at).outcomes == b""


def test_the_same_bytes_in_one_batch_are_copies(world: World) -> None:
    at = world.send([line("a"), line("b"), line("a"), line("a")])
    assert world.outcomes(at) == [KEPT, KEPT, COPY, COPY]
    assert world.verdict(at).group(2) is None
    assert world.verdict(at).copies_total == 2


def test_the_same_bytes_in_a_later_step_by_another_agent_are_a_copy(world: World) -> None:
    world.send([line("a")])
    world.run()
    later = world.send([line("a")], agent="web-2")
    assert world.outcomes(later) == [COPY]


def test_the_same_bytes_after_a_restart_are_a_copy(world: World) -> None:
    world.send([line("a")])
    world.run()
    world.restart()
    assert world.outcomes(world.send([line("a")])) == [COPY]


def test_ids_that_were_only_in_memory_survive_a_crash(world: World) -> None:
    world.send([line("a"), line("b"), line("a", eventName="X"), line("c", awsRegion="eu-west-2")])
    world.run()
    world.crash()
    at = world.send([line("c", awsRegion="eu-west-2"), line("b"), line("d"), line("a")])
    assert world.outcomes(at) == [COPY, COPY, KEPT, COPY]


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(record("a"), indent=None, separators=(", ", ": ")).encode(),
        json.dumps(dict(reversed(record("a").items()))).encode(),
        line("a").replace(b"RunInstances", b"RunInst\\u0061nces"),
    ],
    ids=["white space", "order", "escapes"],
)
def test_equal_as_json_is_a_copy(world: World, other: bytes) -> None:
    world.send([line("a")])
    assert world.outcomes(world.send([other])) == [COPY]
    assert world.items() == []


@pytest.mark.parametrize("same_batch", [True, False])
def test_other_content_under_a_known_id_goes_to_quarantine_whole(
    world: World, same_batch: bool
) -> None:
    true, forged = line("a"), line("a", eventName="DescribeInstances")
    if same_batch:
        at = world.send([true, forged])
        assert world.outcomes(at) == [KEPT, CONFLICT]
    else:
        world.send([true])
        at = world.send([forged])
        assert world.outcomes(at) == [CONFLICT]
    (item,) = world.items()
    assert item.content == forged
    assert item.reason == "conflict"
    assert item.id == f"{at}-0"
    assert world.verdict(at).quarantined_total == 1
    assert "alarm.conflict" in world.problems()
    assert world.metrics.value("opentrail_consolidate_conflicts_total") == 1


def test_a_forged_event_that_came_first_does_not_hide_the_true_one(world: World) -> None:
    world.send([line("a", eventName="Nothing")], agent="rogue")
    assert world.outcomes(world.send([line("a")])) == [CONFLICT]
    assert [item.content for item in world.items()] == [line("a")]


def test_the_first_stays_the_first_whatever_comes_later(world: World) -> None:
    world.send([line("a")])
    world.send([line("a", eventName="X")])
    later = world.send([line("a", eventName="X"), line("a")])
    assert world.outcomes(later) == [CONFLICT, COPY]


def test_an_alarm_fades_when_it_was_quiet_for_long(world: World) -> None:
    world.send([line("a"), line("a", eventName="X")])
    world.run()
    world.clock.advance(899)
    world.run()
    assert "alarm.conflict" in world.problems()
    world.clock.advance(2)
    world.run()
    assert "alarm.conflict" not in world.problems()


def test_the_same_id_in_another_hour_or_account_is_another_event(world: World) -> None:
    at = world.send(
        [
            line("a"),
            line("a", eventTime="2025-12-31T11:00:00Z"),
            line("a", recipientAccountId="444455556666"),
            line("a", eventTime="2025-12-31T10:59:59Z"),
        ]
    )
    assert world.outcomes(at) == [KEPT, KEPT, KEPT, CONFLICT]


def test_the_first_is_read_back_from_the_archive_when_its_segment_is_gone(world: World) -> None:
    asked = []

    def archive(position: int, group: Group, key: bytes) -> bytes:
        asked.append((position, group, key))
        return line("a")

    world.archive_lookup = archive
    first = world.send([line("a")])
    world.release_through(first)
    spaced = json.dumps(record("a")).encode()
    other = world.send([spaced, line("a", eventName="X")])
    assert world.outcomes(other) == [COPY, CONFLICT]
    assert asked[0] == (
        first << 16,
        Group("111122223333", "eu-west-1", 490_882),
        event_key("111122223333", "a", 490_882),
    )


def test_a_first_that_cannot_be_read_back_makes_a_conflict_that_says_so(world: World) -> None:
    first = world.send([line("a")])
    world.release_through(first)
    assert world.outcomes(world.send([json.dumps(record("a")).encode()])) == [CONFLICT]
    assert "cannot be read back" in world.items()[0].detail


def test_a_derived_id_stays_beside_the_record(world: World) -> None:
    bare = line(eventID=None)
    at = world.send([bare, line("b"), bare], derived={0: "d-0", 1: "ignored", 2: "d-2"})
    assert world.outcomes(at) == [KEPT, KEPT, KEPT]
    assert world.verdict(at).derived == {0: "d-0", 2: "d-2"}
    assert world.verdict(at).key(0) == event_key("111122223333", "d-0", 490_882)
    again = world.send([bare], derived={0: "d-0"})
    assert world.outcomes(again) == [COPY]


def test_columns_of_events_that_are_not_kept_say_so(world: World) -> None:
    at = world.send([line("a"), line("a"), b"[]"])
    world.run()
    verdict = world.verdict(at)
    assert [int.from_bytes(verdict.group_of[i : i + 2], "little") for i in (2, 4)] == [NO_GROUP] * 2
    assert verdict.key(2) == bytes(16)
    assert verdict.time(2) == 0
