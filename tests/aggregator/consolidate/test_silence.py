"""An agent unheard of for five minutes is told, until it is heard of again or retired."""

from pathlib import Path

from .world import EPOCH, World, line


def heartbeat(world: World, agent: str) -> None:
    world.control(
        "heartbeat",
        {"agent": agent, "epoch": EPOCH, "sequence": 0, "reported_at_ns": world.clock.now_ns(),
         "sources": [], "source_count": 1},
    )  # fmt: skip
    world.run()


def wait(world: World, seconds: float) -> None:
    world.clock.advance(seconds)
    world.run()


def test_silence_is_told_after_five_minutes_and_ends_with_the_next_word(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.send([line()], agent="web-1")
    heartbeat(world, "web-2")
    wait(world, 299)
    assert "agents.silent" not in world.problems()
    wait(world, 3)
    assert "web-1 (302 s)" in world.problems()["agents.silent"]
    assert world.metrics.value("opentrail_agents_silent") == 2
    world.restart()
    wait(world, 2)
    assert "web-2" in world.problems()["agents.silent"], "a restart forgets nobody"
    heartbeat(world, "web-1")
    wait(world, 2)
    assert "web-1" not in world.problems()["agents.silent"]
    world.control("agent-retired", {"agent": "web-2"})
    wait(world, 2)
    assert "agents.silent" not in world.problems()
    assert world.metrics.value("opentrail_agents_silent") == 0


def test_the_aggregator_s_own_events_and_ended_imports_are_no_silence(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.send([line("a")], agent="opentrail/api")
    ended = {"name": "import:x", "kind": "import", "ended": True, "position": 1, "size": 1}
    world.control(
        "heartbeat",
        {"agent": "once", "epoch": EPOCH, "sequence": 0, "reported_at_ns": 0,
         "sources": [ended], "source_count": 1},
    )  # fmt: skip
    world.run()
    wait(world, 400)
    assert "agents.silent" not in world.problems()
