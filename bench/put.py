"""PutAuditEvents at the HTTP port: batches of a hundred, signed, each durable before its answer.

Requests are signed before the clock runs. Every event has an id of its own and comes back under the
same id; afterwards as many events are counted in the frames of the log as were answered.
"""

import json
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.system.processes import Installation

from bench.asking import Question, ask_all
from bench.figures import Figure, Scale
from bench.latency import installed
from bench.ours import events_in_log
from bench.shipping import percentile

LEAST = 3_000
BATCH = 100
CONNECTIONS = 8
REGION = "us-east-1"
ACCOUNT = "000000000000"


def run(scale: Scale) -> list[Figure]:
    batches = scale.questions
    with installed() as installation:
        channel = _channel(installation)
        questions = list(_questions(installation, channel, batches + batches // 10))
        ask_all(installation, questions[: batches // 10], CONNECTIONS)
        before = events_in_log(installation.home)
        asked = ask_all(installation, questions[batches // 10 :], CONNECTIONS)
        durable = events_in_log(installation.home) - before
    events = len(asked.times) * BATCH
    rate = events / asked.seconds
    p99 = percentile(asked.times, 0.99) * 1000
    print(f"  {rate:,.0f} events/s, p99 {p99:.0f} ms {asked.first_wrong}", flush=True)
    return [
        Figure(
            f"PutAuditEvents, signed, batches of {BATCH}, durable", f"{rate:,.0f} events/s",
            f">= {LEAST:,} events/s", rate >= LEAST and not asked.wrong and durable >= events,
            f"p99 {p99:.0f} ms over {CONNECTIONS} connections, {asked.wrong} of "
            f"{len(asked.times):,} requests wrong, {durable:,} events in the log",
        )
    ]  # fmt: skip


def _credentials(installation: Installation) -> Credentials:
    key = json.loads((installation.home / "keys" / "local.json").read_bytes())
    return Credentials(key["access_key_id"], key["secret_access_key"])


def _channel(installation: Installation) -> str:
    known = _credentials(installation)
    client = boto3.session.Session().client(
        "cloudtrail", region_name=REGION, endpoint_url=installation.url,
        aws_access_key_id=known.access_key, aws_secret_access_key=known.secret_key,
    )  # fmt: skip
    made = client.create_channel(
        Name="bench", Source="Custom",
        Destinations=[{"Type": "EVENT_DATA_STORE", "Location": "opentrail"}],
    )  # fmt: skip
    return str(made["ChannelArn"])


def _questions(installation: Installation, channel: str, count: int) -> Iterator[Question]:
    credentials = _credentials(installation)
    path = f"/PutAuditEvents?{urlencode({'channelArn': channel})}"
    for number in range(count):
        ids = [str(uuid.uuid4()) for _ in range(BATCH)]
        items = [{"id": each, "eventData": _event(number, each)} for each in ids]
        body = json.dumps({"auditEvents": items}).encode()
        headers = {"Content-Type": "application/json"}
        request = AWSRequest("POST", f"{installation.url}{path}", data=body, headers=headers)
        SigV4Auth(credentials, "cloudtrail-data", REGION).add_auth(request)

        def is_right(answer: bytes, ids: list[str] = ids) -> bool:
            return [each["id"] for each in json.loads(answer)["successful"]] == ids

        yield Question("POST", path, dict(request.headers.items()), body, is_right)


def _event(number: int, uid: str) -> str:
    return json.dumps(
        {
            "version": "1",
            "userIdentity": {"type": "User", "principalId": f"user{number % 400:04d}"},
            "userAgent": "billing/4.2 (linux; x86_64)",
            "eventSource": "billing.example.com",
            "eventName": "PayInvoice",
            "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "UID": uid,
            "requestParameters": {"invoice": uid, "amount": number, "currency": "EUR"},
            "recipientAccountId": ACCOUNT,
            "additionalEventData": {"note": "x" * 200},
        }
    )
