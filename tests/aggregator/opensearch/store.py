"""Events sent to a real OpenSearch without a log: for tests of what is taken and found."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from opentrail.identity import event_key
from opentrail_aggregator.index.document import Event
from opentrail_aggregator.index.retention import day_of
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.cluster import Cluster
from opentrail_aggregator.opensearch.delivery import Batch, Sender
from opentrail_aggregator.opensearch.documents import Document
from opentrail_aggregator.opensearch.engine import OpenSearchEngine
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.template import index_of
from opentrail_aggregator.search.settings import SearchSettings
from tests.aggregator.search.contract import NOW, raw
from tests.aggregator.search.oracle import Stored
from tests.fakes.clock import FakeClock
from tests.real.opensearch import OpenSearchNode

LOG = "log-1"


def settings_for(node: OpenSearchNode, **changes: Any) -> OpenSearchSettings:
    return OpenSearchSettings(url=node.url, **{"replicas": 0, "senders": 1, **changes})


def document(record: bytes, *, derived: str = "", time_s: int = NOW, event_id: str = "e",
             account: str = "111122223333", region: str = "eu-west-1",
             position: int = 1 << 16, log: str = LOG) -> tuple[str, Document]:  # fmt: skip
    """Day and document of one event."""
    key = event_key(account, event_id, time_s // 3600).hex()
    event = Event(record, derived, time_s, account, region, position)
    day = day_of(time_s)
    return day, Document(event, key, index_of(day), log)


class DirectStore:
    """A cluster and an engine over it."""

    def __init__(self, node: OpenSearchNode) -> None:
        node.clear()
        self.clock = FakeClock(NOW)
        self.metrics = Metrics("opensearch", self.clock)
        self.cluster = Cluster(settings_for(node))
        self.cluster.install_template()
        self.sender = Sender(self.cluster, self.clock, self.metrics, threading.Event())
        self.engine = OpenSearchEngine(self.cluster, SearchSettings(), self.clock)
        self._position = 1 << 16

    def add(self, events: Sequence[Stored]) -> None:
        documents = []
        for each in events:
            self._position += 1
            documents.append(
                document(
                    raw(each), derived="" if "eventID" in each.record else each.event_id,
                    time_s=each.time_s, event_id=each.event_id, account=each.account,
                    region=each.region, position=self._position,
                )
            )  # fmt: skip
        assert self.send(documents).held == []

    def send(self, documents: Iterable[tuple[str, Document]]) -> Batch:
        batch = self.sender.deliver(Batch(list(documents)))
        self.cluster.refresh()
        return batch

    def close(self) -> None:
        self.engine.close()
