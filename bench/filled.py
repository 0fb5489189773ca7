"""A home whose index holds many events over 90 days, and the installation that answers from it.

The events are put in by the index's own writing code, two processes at once, each with days of its
own; what they write is a generation as a rebuild leaves it when the archive is of an earlier log
(position 0). Five million take about six minutes on two cores, so a filled home is kept for other
figures of the same day in ~/.cache/opentrail/bench.
"""

import contextlib
import json
import multiprocessing
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.system.processes import Installation

from bench.latency import PRODUCT
from bench.search_corpus import Maker
from opentrail.clock import SystemClock
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.days import Days
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.index.settings import IndexSettings
from opentrail_aggregator.wal.disk_reader import open_reader

DAYS = 90
PROCESSES = 2
CACHE = Path.home() / ".cache" / "opentrail" / "bench"
READY = "filled.json"


@contextlib.contextmanager
def filled(events: int) -> Iterator[Installation]:
    """An installation with `events` in its index, following load.json* beside its home."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    directory = CACHE / f"filled-{today}-{events}"
    for other in CACHE.glob("filled-*"):
        if not other.name.startswith(f"filled-{today}"):
            shutil.rmtree(other, ignore_errors=True)
    if not (directory / READY).exists():
        shutil.rmtree(directory, ignore_errors=True)
        _fill(directory, events)
    with contextlib.suppress(FileNotFoundError):
        (directory / "load.json").unlink()
    installation = Installation(directory)
    try:
        installation.start(f"{directory}/load.json*", environment=PRODUCT)
        yield installation
    finally:
        installation.stop()


def moment(second: int) -> str:
    """A second as questions over HTTP name it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fill(directory: Path, events: int) -> None:
    installation = Installation(directory)
    installation.start()
    installation.stop()
    home = Home(installation.home)
    generations = Generations(home.index)
    generation = generations.create()
    # From the log's beginning: what it holds already is indexed again beside the rest.
    generation.write(generation.read().of_log(open_reader(home).log_id))
    began, today = time.monotonic(), int(time.time()) // 86400
    children = [
        multiprocessing.get_context("spawn").Process(
            target=fill_days, args=(generation.directory, events, today, first)
        )
        for first in range(PROCESSES)
    ]
    for each in children:
        each.start()
    for each in children:
        each.join()
        assert each.exitcode == 0, "filling the index failed"
    generations.switch_to(generation)
    took = time.monotonic() - began
    print(f"  {events:,} events in the index of 90 days after {took:.0f} s", flush=True)
    (directory / READY).write_text(json.dumps({"events": events, "seconds": round(took)}))


def fill_days(directory: Path, events: int, today: int, turn: int) -> None:
    """Every `PROCESSES`th day from the `turn`th on."""
    days = Days(
        lambda name: directory / name, IndexSettings(commit_seconds=1.0), SystemClock(),
        resumable=False,
    )  # fmt: skip
    now = int(time.time())
    for number in range(turn, DAYS, PROCESSES):
        maker, first = Maker(number), (today - DAYS + 1 + number) * 86400
        days.recent_from = day = day_of(first)
        share = events * (number + 1) // DAYS - events * number // DAYS
        for index in range(share):
            second = min(first + index * 86400 // max(share, 1), now)
            record, account, region = maker.record(second)
            days.gather(day, Event(record, "", second, account, region, 0))
        days.flush()
        days.close(day)
