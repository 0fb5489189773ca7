"""The agents table says through which batch an agent is consolidated and until when it reported."""

from typing import Any

from opentrail_aggregator.consolidate.agents import Agent, AgentsView, Epoch
from tests.aggregator.consolidate.world import EPOCH, World, line

SECOND = 1_000_000_000


def agent(world: World, name: str = "web-1") -> Agent:
    world.run()
    world.clock.advance(2)
    world.run()
    return AgentsView(world.home).read().agents[name]


def epoch(world: World) -> Epoch:
    return agent(world).epochs[EPOCH]


def beat(world: World, sequence: int, at: int, **body: Any) -> None:
    world.control(
        "heartbeat",
        {
            "agent": "web-1",
            "epoch": EPOCH,
            "sequence": sequence,
            "reported_at_ns": at * SECOND,
            **body,
        },
    )


def test_a_batch_moves_the_sequence(world: World) -> None:
    world.send([line("a")])
    world.send([line("b"), line("c")])
    found = epoch(world)
    assert (found.begins_at, found.sequence, found.events, found.gaps) == (1, 2, 3, [])
    assert found.last_position == world.log.durable_position


def test_a_heartbeat_counts_once_its_batches_are_here(world: World) -> None:
    world.send([line("a")])
    beat(world, 2, 100)
    assert epoch(world).reported_until_ns == 0
    world.send([line("b")])
    assert epoch(world).reported_until_ns == 100 * SECOND
    beat(world, 2, 130)
    assert epoch(world).reported_until_ns == 130 * SECOND


def test_reported_until_never_goes_back(world: World) -> None:
    beat(world, 0, 500)
    beat(world, 0, 400)
    assert epoch(world).reported_until_ns == 500 * SECOND


def test_an_epoch_may_begin_later_and_gaps_are_named(world: World) -> None:
    world.sequences["web-1", EPOCH] = 6
    world.send([line("a")])
    world.sequences["web-1", EPOCH] = 9
    world.send([line("b")])
    found = epoch(world)
    assert (found.begins_at, found.sequence, found.gaps) == (7, 10, [(8, 9)])


def test_retired_holds_until_it_sends_again(world: World) -> None:
    world.send([line("a")])
    world.control("agent-retired", {"agent": "web-1"})
    assert agent(world).retired
    world.send([line("b")])
    assert not agent(world).retired


def test_an_agent_has_ended_when_all_its_sources_have(world: World) -> None:
    one = {"name": "file:/a", "kind": "import", "ended": True}
    beat(world, 0, 1, sources=[one], source_count=2)
    assert not agent(world).ended
    running = {**one, "ended": False}
    beat(world, 0, 2, sources=[running], source_count=1)
    assert not agent(world).ended
    world.control("import-ended", {"agent": "web-1", "epoch": EPOCH, "source": "file:/a"})
    assert agent(world).ended


def test_the_table_survives_a_crash_before_it_was_saved(world: World) -> None:
    world.send([line("a")])
    beat(world, 1, 50)
    world.run()
    world.crash()
    assert epoch(world).reported_until_ns == 50 * SECOND
    assert AgentsView(world.home).read().position == world.log.durable_position


def test_a_lost_table_is_folded_again_from_the_log(world: World) -> None:
    world.send([line("a")])
    epoch(world)
    world.restart()
    (world.home.verdicts / "state.json").unlink()
    world.send([line("b")])
    assert epoch(world).sequence == 2


def test_control_frames_of_any_shape_hurt_nobody(world: World) -> None:
    for body in ({}, {"agent": 5, "epoch": None, "sequence": "x", "sources": 7}):
        for kind in ("heartbeat", "agent-retired", "import-ended", "replayed", "unknown"):
            world.control(kind, body)
    world.send([line("a")])
    assert epoch(world).sequence == 1


def test_before_consolidate_began_the_view_is_empty(world: World) -> None:
    assert AgentsView(world.home).read().agents == {}
