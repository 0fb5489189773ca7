"""Events outside a grant are told in the trail, once a minute; told again, it is the same event."""

import json
from pathlib import Path
from typing import Any

from opentrail.batch import batch_events
from opentrail.errors import OpenTrailError
from opentrail_aggregator.consolidate.consolidator import Consolidator

from .world import World, line

NARROW = {
    "account": "999900009999",
    "home_region": "eu-west-1",
    "grants": [{"agent": "web-1", "accounts": ["111122223333"], "regions": ["*"]}],
}


class Trail:
    """Takes own events; `refuses` makes it say no."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.refuses = False

    def submit(self, agent: str, payload: bytes) -> int:
        if self.refuses:
            raise OpenTrailError("the log is full")
        assert agent == "opentrail/api"
        self.records += [json.loads(each) for each in batch_events(payload).splitlines()]
        return 1


def told(world: World, trail: Trail) -> Consolidator:
    return Consolidator(world.home, world.sections, world.clock, world.metrics, submit=trail.submit)


def foreign(event_id: str, account: str = "222233334444") -> bytes:
    return line(event_id, recipientAccountId=account)


def test_foreign_events_are_one_event_each_minute_by_agent_and_account(tmp_path: Path) -> None:
    world, trail = World(tmp_path, settings=NARROW), Trail()
    role = told(world, trail)
    world.send([foreign("a"), foreign("b"), line("mine"), foreign("c", "333344445555")])
    world.send([foreign("d")])
    while role.step():
        pass
    assert [each["eventName"] for each in trail.records] == ["EventsOutsideGrant"] * 2
    first = trail.records[0]
    assert first["serviceEventDetails"]["agent"] == "web-1"
    assert "222233334444" in first["errorMessage"]
    assert first["recipientAccountId"] == "999900009999"
    assert first["serviceEventDetails"]["quarantineItem"] in {each.id for each in world.items()}
    assert len(world.items()) == 4
    world.clock.advance(61)
    world.send([foreign("e")])
    while role.step():
        pass
    assert len(trail.records) == 3


def test_judged_again_after_a_crash_it_is_the_same_event(tmp_path: Path) -> None:
    world, trail = World(tmp_path, settings=NARROW), Trail()
    world.send([foreign("a")])
    told(world, trail).step()
    # The role died before its verdict was written: everything is done once more.
    lost = Trail()
    for name in ("verdicts", "ids", "quarantine"):
        (tmp_path / name).rename(tmp_path / f"{name}-gone")
    told(world, lost).step()
    assert lost.records == trail.records


def test_a_log_that_takes_nothing_holds_no_verdict_up_and_is_told_later(tmp_path: Path) -> None:
    world, trail = World(tmp_path, settings=NARROW), Trail()
    trail.refuses = True
    role = told(world, trail)
    position = world.send([foreign("a")])
    while role.step():
        pass
    assert world.verdict(position).events == 1
    trail.refuses = False
    world.clock.advance(6)
    role.step()
    assert len(trail.records) == 1
