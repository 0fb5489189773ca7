"""kill -9 of any process at any moment, under load: nothing lost, nothing doubled.

The seed is printed, so that a run that fails can be had again: OPENTRAIL_SEED=… pytest …
The moments are then the same; what the processes are doing at them is up to the machine.
"""

import os
import random
import time
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation, Process, wait_for
from .producer import Load, Producer

RATE = 400
UP_AGAIN_SECONDS = 30


def seed() -> int:
    chosen = int(os.environ.get("OPENTRAIL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"OPENTRAIL_SEED={chosen}")
    return chosen


def kill_one(installation: Installation, draw: random.Random, watch: str) -> str:
    """Kill one process, chosen at random; start `up` again when it was its turn."""
    processes = installation.processes()
    victim = draw.choice(processes)
    victim.kill()
    if victim.pid == installation.up_pid:
        wait_for(
            "the others end with `opentrail up`", lambda: not installation.processes(), 2.0, 0.02
        )
        installation.start(watch, wait=False)
    return role(victim)


def role(process: Process) -> str:
    """What a process is, from how it was started."""
    for name, mark in (
        ("up", "opentrail up"), ("agent", "opentrail_agent"), ("supervisor", "_aggregator run"),
    ):  # fmt: skip
        if mark in process.command:
            return name
    _, role, name = process.command.partition(" role ")
    return name.split()[0] if role else "other"


def kills_leave_the_oracle_clean(directory: Path, count: int, longest_pause: float) -> None:
    chosen = seed()
    draw = random.Random(chosen)
    producer = Producer(directory / "source", chosen)
    producer.write(200)
    installation = Installation(directory)
    killed: dict[str, int] = {}
    try:
        installation.start(producer.pattern)
        with Load(producer, RATE):
            for _ in range(count):
                time.sleep(draw.uniform(0, longest_pause))
                name = kill_one(installation, draw, producer.pattern)
                killed[name] = killed.get(name, 0) + 1
        print("killed:", killed)
        installation.wait_until_ready(UP_AGAIN_SECONDS)
        judge(installation, producer, at_least=1000, repeats=True)
    finally:
        installation.destroy()


@pytest.mark.slow
def test_twelve_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    kills_leave_the_oracle_clean(tmp_path, 12, longest_pause=2.0)


@pytest.mark.long
def test_two_hundred_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    kills_leave_the_oracle_clean(tmp_path, 200, longest_pause=3.0)


@pytest.mark.slow
def test_every_process_comes_back_after_its_own_kill(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 7)
    producer.write(100)
    installation.start(producer.pattern)
    before = {each.command for each in installation.processes()}
    for process in installation.processes():
        if process.pid != installation.up_pid:
            process.kill()
    wait_for(
        "all processes are back",
        lambda: {each.command for each in installation.processes()} == before,
        UP_AGAIN_SECONDS,
    )
    producer.write(1000)
    judge(installation, producer, at_least=1000, repeats=True)


@pytest.mark.slow
def test_no_process_outlives_up_by_more_than_a_second(installation: Installation) -> None:
    installation.start()
    assert len(installation.processes()) >= 5
    installation.up.kill()
    wait_for("all processes end", lambda: not installation.processes(), 1.5, 0.02)
