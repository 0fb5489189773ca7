"""What goes wrong between us and a cluster: every event is in once, or held with its reason."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail.settings import Seconds
from opentrail_aggregator.access.sigv4 import Request, verify
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.delivery import Batch, Sender, StoppedError
from opentrail_aggregator.opensearch.documents import FALLBACK
from opentrail_aggregator.opensearch.held import Held, held_entries
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from tests.aggregator.opensearch.store import document
from tests.aggregator.search.contract import NOW, when
from tests.fakes.bulk_server import BulkServer, Fault
from tests.fakes.clock import FakeClock

REJECTED: Fault = (429, {"error": {"type": "rejected_execution_exception", "reason": "full"}})
PRESSURE: Fault = (429, {"error": {"type": "rejected_execution_exception", "reason":
                  "rejected [coordinating_and_primary_bytes=1]"}})  # fmt: skip
BLOCKED: Fault = (403, {"error": {"type": "cluster_block_exception", "reason": "read-only"}})


class Rig:
    """A sender and the server that it sends to."""

    def __init__(self, **settings: Any) -> None:
        self.server = BulkServer()
        self.clock = FakeClock(NOW)
        self.metrics = Metrics("opensearch", self.clock)
        told = OpenSearchSettings(url=self.server.url, timeout=Seconds(5.0), **settings)
        self.cluster = Cluster(told)
        self.stop = threading.Event()
        self.sender = Sender(self.cluster, self.clock, self.metrics, self.stop)

    def send(self, count: int, size: int = 100) -> Batch:
        filler = "x" * size
        documents = []
        for index in range(count):
            line = json.dumps(
                {"eventID": f"e{index}", "eventTime": when(NOW), "userAgent": filler}
            ).encode()
            documents.append(document(line, event_id=f"e{index}"))
        return self.sender.deliver(Batch(documents))

    def problems(self) -> dict[str, str]:
        return {each["key"]: each["text"] for each in self.metrics.snapshot()["problems"]}

    def close(self) -> None:
        self.cluster.wire.end()
        self.server.stop()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


@pytest.mark.parametrize(
    "fault",
    [
        "drop", "late", REJECTED, PRESSURE, BLOCKED, (413, None), (401, None), (502, None),
        (200, None), (200, {"items": []}),
        (503, {"error": {"type": "cluster_manager_not_discovered_exception", "reason": None}}),
    ],
    ids=str,
)  # fmt: skip
def test_after_any_fault_every_event_is_in_once(rig: Rig, fault: Fault) -> None:
    rig.server.faults.extend([fault, fault, None, fault])
    batch = rig.send(40)
    assert len(rig.server.documents) == 40
    assert (batch.held, batch.earlier) == ([], 0)
    assert rig.problems() == {}, "healed, and still told"


def test_only_the_items_that_were_rejected_are_sent_again(rig: Rig) -> None:
    def some(key: str, document: bytes) -> tuple[int, Any] | None:
        if int(key, 16) % 2:
            return 429, {"type": "rejected_execution_exception", "reason": "full"}
        return None

    rig.server.faults.append(some)
    rig.send(40)
    assert len(rig.server.documents) == 40
    assert len(rig.server.sizes) == 2
    assert rig.server.sizes[1] < rig.server.sizes[0] * 0.8


def test_pauses_grow_and_health_says_what_somebody_has_to_change(rig: Rig) -> None:
    told: list[str] = []
    pauses: list[float] = []

    class Watched(FakeClock):
        def pause(self, seconds: float) -> None:
            told.extend(rig.problems().values())
            pauses.append(seconds)
            super().pause(seconds)

    rig.sender._clock = Watched(NOW)
    rig.server.faults.extend([BLOCKED] * 8)
    rig.send(3)
    assert "read-only" in told[0]
    assert "somebody has to change this" in told[0]
    assert sum(pauses) > 8 * 0.2 * 4
    assert rig.problems() == {}


def test_requests_become_smaller_under_pressure_and_larger_again(rig: Rig) -> None:
    most = rig.sender.limit.most
    rig.server.faults.extend([PRESSURE] * 3)
    rig.send(400, size=2_000)
    lowest = rig.sender.limit.now
    assert lowest < most / 2
    assert max(rig.server.sizes[3:]) <= most / 2
    for _ in range(40):
        rig.send(1)
    assert rig.sender.limit.now > lowest


def test_fewer_requests_at_once_when_it_is_too_much_and_more_again(rig: Rig) -> None:
    limit = rig.sender.limit
    assert (limit.senders, limit.most_senders) == (2, 4)
    for _ in range(100):
        rig.send(1)
    assert limit.senders == 4, "a cluster that takes everything is not filled"
    rig.server.faults.extend([REJECTED] * 2)
    rig.send(1)
    assert limit.senders == 1
    rig.server.faults.extend([BLOCKED] * 3)
    rig.send(1)
    for _ in range(16):
        rig.send(1)
    assert limit.senders == 2, "a block says nothing about how much at once"


def test_an_event_that_ends_the_node_is_found_and_sent_in_a_form_that_does_not(rig: Rig) -> None:
    """Whoever gets this document dies; the others must get in."""
    plain = rig.server.take

    def take(body: bytes, fault: Fault) -> list[dict[str, Any]]:
        if b'"e13"' in body and b'"form":"fallback"' not in body:
            raise ConnectionAbortedError("the node is gone")
        return plain(body, fault)

    rig.server.take = take  # type: ignore[method-assign]
    rig.server._server.handle_error = lambda *_: None  # type: ignore[method-assign]
    batch = rig.send(20)
    assert batch.held == []
    assert len(rig.server.documents) == 20
    forms = [json.loads(each)["opentrail"]["form"] for each in rig.server.documents.values()]
    assert forms.count(FALLBACK) == 1


def test_what_is_refused_in_every_form_is_held_with_the_servers_reason(
    rig: Rig, tmp_path: Path
) -> None:
    def one(key: str, document: bytes) -> tuple[int, Any] | None:
        if b'"id":"e7"' in document:
            return 400, {"type": "mapper_parsing_exception", "reason": "never"}
        return None

    rig.server.always = one
    batch = rig.send(20)
    assert len(rig.server.documents) == 19
    ((day, refused, reason),) = batch.held
    assert reason == "mapper_parsing_exception: never"
    held = Held(tmp_path)
    held.put(refused, day, reason)
    held.put(refused, day, reason)
    held.close()
    with open(tmp_path / "held", "ab") as file:
        file.write(b'{"key":"half')
    again = Held(tmp_path)
    again.put(refused, day, reason)
    again.close()
    (entry,) = held_entries(tmp_path)
    assert entry["reason"] == reason
    assert json.loads(entry["record"])["eventID"] == "e7"


def test_a_refused_request_as_a_whole_loses_no_other_event(rig: Rig) -> None:
    def answer(body: bytes) -> Fault:
        return (400, {"error": {"type": "illegal_argument_exception", "reason": "malformed"}})

    rig.server.faults.extend([answer(b"")] * 2)
    batch = rig.send(8)
    assert batch.held == []
    assert len(rig.server.documents) == 8


def test_told_to_stop_it_gives_up_at_once(rig: Rig) -> None:
    rig.server.always = "drop"
    rig.stop.set()
    with pytest.raises(StoppedError):
        rig.send(3)


def test_a_changed_password_is_used_without_a_restart(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    rig = Rig(user="ot", password_file=password)
    rig.send(1)
    password.write_text("second one\n")
    rig.send(2)
    password.unlink()
    with pytest.raises(ConfigError, match="password"):
        rig.send(3)
    rig.close()
    sent = [each["Authorization"] for each in rig.server.seen]
    assert sent[0] == "Basic b3Q6Zmlyc3Q="
    assert sent[1] == "Basic b3Q6c2Vjb25kIG9uZQ=="


def test_a_header_from_a_file_goes_along(tmp_path: Path) -> None:
    header = tmp_path / "header"
    header.write_text("ApiKey abc\n")
    rig = Rig(header_file=header)
    rig.send(1)
    rig.close()
    assert rig.server.seen[0]["Authorization"] == "ApiKey abc"


def test_requests_to_a_managed_domain_are_signed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    rig = Rig(aws_region="eu-west-1")
    rig.send(3)
    rig.close()
    ((path, headers, body),) = rig.server.requests
    place, _, query = path.partition("?")
    request = Request("POST", place, query, tuple(headers.items()), body)
    credential = verify(
        request, lambda key: "secret" if key == "AKIATEST" else None, SystemClock().now_ns() / 1e9
    )
    assert (credential.region, credential.service) == ("eu-west-1", "es")
