"""What an agent refused is in quarantine once, however often the agent reads it again."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.batch import RefusedItem, SourceRun, refused_item
from opentrail_aggregator.consolidate.refusals import NO_KEY, refusal_keys
from tests.aggregator.consolidate.world import World, line

GENERATION = "ab" * 16


def refusal(data: bytes = b"junk", **changes: Any) -> RefusedItem:
    place: dict[str, Any] = {"source": "file:/a", "offset": 7, "reason": "not_json"}
    return refused_item(data, **place | changes)


def test_a_refusal_that_comes_again_is_a_duplicate_and_both_sums_hold(world: World) -> None:
    world.send([line("a")], refused=[refusal(), refusal(offset=90)], generation=GENERATION)
    # Cut into other batches, beside other events, as an agent that was killed sends them.
    world.send([], refused=[refusal()], generation=GENERATION)
    last = world.send(
        [line("a"), line("b")],
        refused=[refusal(offset=90), refusal(offset=120)],
        generation=GENERATION,
    )
    world.run()
    assert [item.offset for item in world.items()] == [7, 90, 120]
    verdict = world.verdict(last)
    assert (verdict.kept_total, verdict.copies_total, verdict.quarantined_total) == (2, 3, 3)
    assert world.quarantine.count_through(last) == 3
    assert world.metrics.value("opentrail_quarantine_items_total", reason="not_json") == 3


def test_the_same_refusal_twice_in_one_batch_is_in_quarantine_once(world: World) -> None:
    last = world.send([], refused=[refusal(), refusal()], generation=GENERATION)
    world.run()
    assert len(world.items()) == 1
    assert world.verdict(last).copies_total == 1


def test_a_file_that_was_renamed_meanwhile_is_still_the_same(world: World) -> None:
    world.send([], refused=[refusal()], generation=GENERATION)
    world.send([], refused=[refusal(source="file:/a.1")], generation=GENERATION)
    world.run()
    assert [item.source for item in world.items()] == ["file:/a"]


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        (refusal(offset=8), {}),
        (refusal(b"other"), {}),
        (refusal(reason="too_large"), {}),
        (refusal(length=5), {}),
        (refusal(), {"generation": "cd" * 16}),
        (refusal(), {"agent": "web-2"}),
    ],
    ids=["place", "content", "reason", "length", "generation", "agent"],
)
def test_what_differs_in_anything_is_kept(
    world: World, item: RefusedItem, sent: dict[str, Any]
) -> None:
    world.send([], refused=[refusal()], generation=GENERATION)
    last = world.send([], refused=[item], **{"generation": GENERATION} | sent)
    world.run()
    assert len(world.items()) == 2
    assert world.verdict(last).copies_total == 0


def test_where_nothing_says_what_it_was_read_from_all_is_kept(world: World) -> None:
    for _ in range(2):
        world.send([], refused=[refusal()])
    world.run()
    assert len(world.items()) == 2


@pytest.mark.parametrize("claims", [[1], [3], [], [-1, 3], [10**15, 2 - 10**15]])
def test_sources_that_claim_other_refusals_than_there_are_give_none_a_key(
    claims: list[int],
) -> None:
    runs = [SourceRun(source="s", refused=each, generation=GENERATION) for each in claims]
    assert refusal_keys("web-1", runs, [refusal(), refusal()]) == [NO_KEY] * 2


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_it_is_known_again_after_a_restart(world: World, end: str) -> None:
    world.send([line("a")], refused=[refusal()], generation=GENERATION)
    world.run()
    getattr(world, end)()
    last = world.send([line("b")], refused=[refusal()], generation=GENERATION)
    world.run()
    assert len(world.items()) == 1
    assert world.verdict(last).copies_total == 1


STEPS = st.lists(
    st.one_of(
        st.lists(st.integers(0, 12), max_size=6),
        st.sampled_from(["restart", "crash", "run"]),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(STEPS)
def test_whatever_comes_again_when_each_refusal_is_in_quarantine_once(
    steps: list[list[int] | str],
) -> None:
    with TemporaryDirectory() as directory:
        world = World(Path(directory))
        sent: list[int] = []
        last = world.send([line("first")])
        for step in steps:
            if isinstance(step, str):
                getattr(world, step)()
                continue
            items = [refusal(offset=number) for number in step]
            last = world.send([line("first")], refused=items, generation=GENERATION)
            sent += step
        world.run()
        world.restart()
        assert [item.offset for item in world.items()] == list(dict.fromkeys(sent))
        verdict = world.verdict(last)
        batches = sum(isinstance(step, list) for step in steps)
        assert verdict.kept_total == 1
        assert verdict.quarantined_total == len(set(sent)) == world.quarantine.count_through(last)
        assert verdict.copies_total == len(sent) - len(set(sent)) + batches
        world.log.close()
