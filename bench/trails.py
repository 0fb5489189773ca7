"""What trails cost: the test of one event, and the archive with five trails in place of one.

Both are CPU seconds of this process (user and system), so what else the machine does counts little.
The records are those of the search figures, all five accounts and regions.
"""

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tests.aggregator.archive.rig import NOON, Event, MemoryLog
from tests.aggregator.digest.rig import DigestRig
from tests.fakes.clock import FakeClock

from bench.figures import Figure, Scale
from bench.search_corpus import ACCOUNTS, Maker
from opentrail_aggregator.trails.predicate import PlainView
from opentrail_aggregator.trails.reach import needs_structures, takes_of
from opentrail_aggregator.trails.trail import TrailSpec

LEAST = 1_000_000
MOST = 2.5
VIEWS = 20_000
SECONDS = 0.3
BATCH = 500
HOURS = 3


def spec(name: str, **members: Any) -> TrailSpec:
    """A trail over all accounts of the records."""
    return TrailSpec(
        name=name, home_region="us-east-1", account=ACCOUNTS[0], bucket="opentrail", prefix=name,
        organization="o-exampleorgid", members=tuple(ACCOUNTS[1:]), multi_region=True,
        logging=True, validation=True, **members,
    )  # fmt: skip


def advanced(**fields: list[str]) -> dict[str, Any]:
    chosen = [{"Field": name, "Equals": values} for name, values in fields.items()]
    return {"advanced": [{"FieldSelectors": chosen}]}


SIMPLE = [
    spec("no-selectors"),
    spec("basic-WriteOnly", basic=[{"ReadWriteType": "WriteOnly", "DataResources": []}]),
    spec("advanced-Management", **advanced(eventCategory=["Management"])),
    spec("advanced-readOnly", **advanced(eventCategory=["Management"], readOnly=["false"])),
]
OTHERS = [
    spec("management"),
    SIMPLE[3],
    spec("reads", **advanced(eventCategory=["Management"], readOnly=["true"])),
    spec(
        "buckets",
        basic=[
            {
                "IncludeManagementEvents": False,
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
            }
        ],
    ),
]


def selectors(scale: Scale) -> list[Figure]:
    """Events a second through the compiled test of one trail, the records decoded before."""
    maker = Maker(3)
    lines = [maker.record(NOON + number % 3600)[0] for number in range(VIEWS)]
    decoder = msgspec.json.Decoder(PlainView)
    views: list[Any] = [decoder.decode(line) for line in lines]
    found = []
    for trail in SIMPLE:
        takes = takes_of(trail)
        assert takes is not None
        assert not needs_structures(trail)
        rate = max(_rate(takes, views) for _ in range(max(scale.runs, 2)))
        print(f"  {trail.name}: {rate:,.0f} events/s", flush=True)
        found.append(
            Figure(
                f"selectors: {trail.name}", f"{rate / 1e6:.2f} M events/s of one core",
                f">= {LEAST / 1e6:.0f} M events/s", rate >= LEAST,
                f"takes {sum(map(takes, views)) / len(views):.0%} of the events",
            )
        )  # fmt: skip
    return found


def _rate(takes: Callable[[Any], bool], views: list[Any]) -> float:
    """As the archive asks: a mask over each batch."""
    batches = list(itertools.batched(views, BATCH)) if hasattr(itertools, "batched") else [
        views[first : first + BATCH] for first in range(0, len(views), BATCH)
    ]  # fmt: skip
    began, done = time.process_time(), 0
    while (took := time.process_time() - began) < SECONDS:
        for batch in batches:
            np.fromiter((takes(view) for view in batch), bool, len(batch))
            done += len(batch)
    return done / took


def five(scale: Scale) -> list[Figure]:
    """The archive with its digests: gather, cut, deliver, sign; one trail and five in turns."""
    count = scale.corpus_events // 10
    log = _filled(count)
    seconds: dict[int, list[float]] = {1: [], 5: []}
    for _ in range(max(scale.runs, 2)):
        for trails in seconds:
            seconds[trails].append(_archived(log, OTHERS[: trails - 1], count))
    one, many = min(seconds[1]), min(seconds[5])
    print(f"  one {one:.2f} s, five {many:.2f} s", flush=True)
    return [
        Figure(
            "archive with five trails against one, CPU", f"{many / one:.2f} x", f"<= {MOST} x",
            many / one <= MOST,
            f"{count:,} events: {one:.2f} s and {many:.2f} s; `default`, management, writes, "
            "reads, objects of S3, all of five accounts",
        )
    ]  # fmt: skip


def _filled(count: int) -> MemoryLog:
    log, maker = MemoryLog(FakeClock(NOON)), Maker(5)
    grant = {"agent": "*", "accounts": ["*"], "regions": ["*"]}
    log.append_control("settings", {"grants": [grant]})
    for first in range(0, count, BATCH):
        events = []
        for number in range(first, min(first + BATCH, count)):
            second = NOON - HOURS * 3600 + number * HOURS * 3600 // count
            line, account, region = maker.record(second)
            events.append(Event(line, account, region, second, f"id-{number}"))
        log.send(events)
    return log


def _archived(filled: MemoryLog, trails: list[TrailSpec], count: int) -> float:
    """CPU seconds until all of the log is in objects and digests."""
    with tempfile.TemporaryDirectory(prefix="opentrail-bench-") as directory:
        log = MemoryLog(FakeClock(NOON))
        for number, trail in enumerate(trails, 1):
            body = {"arn": trail.arn, "number": number, "trail": msgspec.to_builtins(trail)}
            log.append_control("trail", body)
        moved = len(log.entries)
        for entry, verdict in zip(filled.entries, filled.verdicts, strict=True):
            position = entry.position + moved
            log.entries.append(replace(entry, position=position))
            log.verdicts.append(msgspec.structs.replace(verdict, position=position))
        log.kept_total, log.sequence = filled.kept_total, dict(filled.sequence)
        rig = DigestRig(Path(directory), log=log)
        began = time.process_time()
        rig.work()
        rig.pass_time(3 * 3600, step=900)
        took = time.process_time() - began
        figures = rig.reader.figures()
        rig.role.close()
        assert figures.archived == count, f"{figures.archived} of {count} are archived"
        assert len(figures.trails) == 1 + len(trails)
        assert all(own.archived for own in figures.trails.values()), figures.trails
        return took
