"""LookupEvents as AWS's clients ask it: signed (SigV4), its own event on, while others arrive.

Every request looks for something else, in the region it is signed for. Requests are signed before
the clock runs, so that the client costs the server little of the two cores.
"""

import json
import random
import time
from collections.abc import Iterator
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.system.processes import Installation

from bench.asking import Question, ask_all
from bench.figures import Figure, Scale
from bench.filled import DAYS, filled, moment
from bench.latency import ask, pace
from bench.search import ARRIVING
from bench.search_corpus import REGIONS
from bench.shipping import percentile

LEAST = 300
CONNECTIONS = 8
TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"


def run(scale: Scale) -> list[Figure]:
    count = scale.questions * 5
    with filled(scale.searched_events) as installation:
        known = _known(installation, count)
        load = pace(installation.home.parent / "load.json", ARRIVING, 600)
        try:
            return [
                _measured(installation, "EventId", list(_by_id(installation, known)), scale),
                _measured(installation, "Username within one day",
                          list(_by_user(installation, count)), scale),
            ]  # fmt: skip
        finally:
            load.terminate()
            load.wait()


def _measured(
    installation: Installation, kind: str, questions: list[Question], scale: Scale
) -> Figure:
    warm = len(questions) // 10
    ask_all(installation, questions[:warm], CONNECTIONS)
    asked = ask_all(installation, questions[warm:], CONNECTIONS)
    rate = len(asked.times) / asked.seconds
    p99 = percentile(asked.times, 0.99) * 1000
    print(f"  {kind}: {rate:.0f} requests/s, p99 {p99:.0f} ms {asked.first_wrong}", flush=True)
    return Figure(
        f"LookupEvents by {kind}, {scale.searched_events:,} events in 90 days",
        f"{rate:.0f} requests/s", f">= {LEAST} requests/s", rate >= LEAST and not asked.wrong,
        f"p99 {p99:.0f} ms over {CONNECTIONS} connections, {asked.wrong} of "
        f"{len(asked.times):,} wrong, {ARRIVING:,} events/s arriving",
    )  # fmt: skip


def _known(installation: Installation, count: int) -> list[tuple[str, str]]:
    """Event ids and regions, from all over the 90 days."""
    found: list[tuple[str, str]] = []
    today = int(time.time()) // 86400 * 86400
    for number in range(1, DAYS):
        start = today - number * 86400
        asked = {"query": "eventCategory:Management", "start": moment(start),
                 "end": moment(start + 86399), "limit": str(count // (DAYS - 1) + 1),
                 "format": "ndjson"}  # fmt: skip
        for line in ask(installation, f"/api/events?{urlencode(asked)}").splitlines():
            record = json.loads(line)
            found.append((record["eventID"], record["awsRegion"]))
    random.Random(7).shuffle(found)
    return found[:count]


def _by_id(installation: Installation, known: list[tuple[str, str]]) -> Iterator[Question]:
    for event_id, region in known:
        wanted = {"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": event_id}]}
        yield _signed(installation, wanted, region, event_id)


def _by_user(installation: Installation, count: int) -> Iterator[Question]:
    chance = random.Random(11)
    today = int(time.time()) // 86400 * 86400
    for index in range(count):
        start = today - (1 + index % (DAYS - 1)) * 86400
        user = f"user{chance.randrange(400):04d}"
        wanted = {
            "LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": user}],
            "StartTime": start, "EndTime": start + 86399,
        }  # fmt: skip
        yield _signed(installation, wanted, chance.choice(REGIONS), "")


def _signed(
    installation: Installation, wanted: dict[str, object], region: str, event_id: str
) -> Question:
    key = json.loads((installation.home / "keys" / "local.json").read_bytes())
    body = json.dumps(wanted).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}
    request = AWSRequest("POST", f"{installation.url}/", data=body, headers=headers)
    credentials = Credentials(key["access_key_id"], key["secret_access_key"])
    SigV4Auth(credentials, "cloudtrail", region).add_auth(request)

    def is_right(answer: bytes) -> bool:
        events = json.loads(answer)["Events"]
        return not event_id or [each["EventId"] for each in events] == [event_id]

    return Question("POST", "/", dict(request.headers.items()), body, is_right)
