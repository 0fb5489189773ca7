"""Search over HTTP: many events over 90 days, 5 accounts, 5 regions, while others arrive.

Each question is different from all others, a page is 50 events, one is asked after the other, and
each is itself an event that is synced before it is answered. Warm: a twentieth of as many questions
of each kind is asked before the clock runs.
"""

import random
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from tests.system.processes import Installation

from bench.asking import Question, ask_all
from bench.figures import Figure, Scale
from bench.filled import filled, moment
from bench.latency import pace
from bench.search_corpus import ACCOUNTS, CALLS, WORDS
from bench.shipping import percentile

ARRIVING = 1_000
BOUNDS = {"one attribute": 15, "free text": 30, "hourly counts over 7 days": 60}
P99_MS = 150


def run(scale: Scale) -> list[Figure]:
    with filled(scale.searched_events) as installation:
        load = pace(installation.home.parent / "load.json", ARRIVING, 600)
        try:
            figures = [
                _asked(installation, kind, scale.questions, scale.searched_events)
                for kind in BOUNDS
            ]
        finally:
            load.terminate()
            load.wait()
    return figures


def _asked(installation: Installation, kind: str, count: int, events: int) -> Figure:
    warm = max(10, count // 20)
    questions = list(_questions(installation, kind, count + warm))
    assert len({each.path for each in questions}) == len(questions), "a question was asked twice"
    ask_all(installation, questions[:warm])
    asked = ask_all(installation, questions[warm:])
    p50, p99 = percentile(asked.times, 0.5) * 1000, percentile(asked.times, 0.99) * 1000
    print(f"  {kind}: p50 {p50:.1f} ms, p99 {p99:.1f} ms {asked.first_wrong}", flush=True)
    return Figure(
        f"search over HTTP, {events:,} events in 90 days: {kind}",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", f"p50 <= {BOUNDS[kind]} ms, p99 <= {P99_MS} ms",
        p50 <= BOUNDS[kind] and p99 <= P99_MS and not asked.wrong,
        f"{count:,} different questions, {asked.wrong} not answered, "
        f"{ARRIVING:,} events/s arriving",
    )  # fmt: skip


def _questions(installation: Installation, kind: str, count: int) -> Iterator[Question]:
    headers = installation.authorization()
    chance = random.Random(5)
    now = int(time.time())
    for index in range(count):
        if kind == "one attribute":
            asked = {"query": _attribute(index), "limit": "50"}
            path = "/api/events"
        elif kind == "free text":
            asked = {"query": _text(index), "limit": "50"}
            path = "/api/events"
        else:
            end = now - 3_600 * (index // 5) - index
            asked = {"query": _counted(chance, index), "by": "hour",
                     "start": moment(end - 604_800), "end": moment(end)}  # fmt: skip
            path = "/api/count"
        yield Question("GET", f"{path}?{urlencode(asked)}", headers)


def _attribute(index: int) -> str:
    turn, which = index % 5, index // 5
    user = f"user{which % 2000:04d}"
    return [
        f"Username:{user}",
        f"userIdentity.accessKeyId:AKIA{user.upper()}",
        f"requestParameters.bucketName:bucket-{which % 400:03d}",
        f"eventName:{CALLS[which % len(CALLS)][1]} opentrail.account:"
        f"{ACCOUNTS[which // len(CALLS) % 5]} NOT Username:user{which:04d}",
        f"sourceIPAddress:203.0.{which % 20}.{which // 20 % 250}",
    ][turn]


def _text(index: int) -> str:
    turn, which = index % 5, index // 5
    return [
        f"user{which % 2000:04d}",
        f"{WORDS[which % 9]} {which}",
        f"session {which % 1000}",
        f'"not authorized to perform: s3" user{which % 2000:04d}',
        f"{WORDS[which % 9]}-{which}",
    ][turn]


def _counted(chance: random.Random, index: int) -> str:
    return ["*", f"eventName:{CALLS[index % len(CALLS)][1]}", "errorCode:*",
            f"Username:user{chance.randrange(2000):04d}", "eventName:Get*"][index % 5]  # fmt: skip
