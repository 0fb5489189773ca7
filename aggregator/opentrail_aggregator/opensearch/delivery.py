"""One batch of documents on its way: sent until each of them is in, in one form or another.

    documents ──_bulk──► 201, 409: in
        ▲                429, 503, no answer: the same again, after a pause that grows
        ├─ halves ◄───── 413, pressure, three lost connections
        ├─ fallback ◄─── refused for what it is        (then: held, with the server's reason)
        └─ as is ◄────── a block, rights, a limit: told to health, tried again

Sending again is harmless: `_id` is the event's key and the operation is `create`. A batch runs in
one sender thread and gives up only when it is told to stop.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opentrail.clock import Clock
from opentrail.crash import crash_point
from opentrail.errors import OpenTrailError
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.opensearch.classify import Judgement, Meaning, of_item, of_request
from opentrail_aggregator.opensearch.cluster import Cluster, RefusedError
from opentrail_aggregator.opensearch.documents import BYTES, FALLBACK, NORMALISED, Document
from opentrail_aggregator.opensearch.template import index_of
from opentrail_aggregator.opensearch.wire import NDJSON, ConnectionLostError

_PAUSE_MIN, _PAUSE_MAX = 0.2, 10.0  # Health sees the end of an outage within 15 s.
_LOST_BEFORE_SPLIT = 3
_PATH = "/_bulk?require_alias=false&filter_path=errors%2Citems.%2A.status%2Citems.%2A.error"
_WAIT_SLICE = 0.25
_SENDERS_FIRST = 2
_TAKEN_BEFORE_MORE = 16


class StoppedError(OpenTrailError):
    """The process ends; the batch is sent again by the next one."""


@dataclass(slots=True)
class Limit:
    """How large a request may be now, and how many at once; shared by all senders.

    Both fall by half when the cluster says that it is too much, and come back step by step: a
    small cluster is not drowned, and a large one is filled.
    """

    most: int
    most_senders: int = 2
    now: int = 0
    senders: int = 0
    least: int = 64 * 1024
    _taken: int = 0

    def __post_init__(self) -> None:
        self.now = self.now or self.most
        self.senders = self.senders or min(_SENDERS_FIRST, self.most_senders)

    def lower(self) -> None:
        """Requests were too large."""
        self.now = max(self.least, self.now // 2)

    def lower_senders(self) -> None:
        """There were too many at once."""
        self.senders = max(1, self.senders // 2)
        self._taken = 0

    def raise_(self) -> None:
        """One was taken."""
        self.now = min(self.most, self.now + self.most // 20)
        self._taken += 1
        if self._taken >= _TAKEN_BEFORE_MORE:
            self._taken = 0
            self.senders = min(self.most_senders, self.senders + 1)


@dataclass(slots=True)
class Batch:
    """What is sent together, and what became of it."""

    documents: list[tuple[str, Document]]
    """Event day and document."""
    earlier: int = 0
    """Found there by way of another log."""
    held: list[tuple[str, Document, str]] = field(default_factory=list)
    """Day, document and the server's reason."""


class Sender:
    """Delivers batches; its methods may run in several threads, each with a batch of its own."""

    def __init__(
        self, cluster: Cluster, clock: Clock, metrics: Metrics, stop: threading.Event
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._metrics = metrics
        self._stop = stop
        self.limit = Limit(cluster.settings.body_bytes, cluster.settings.senders)

    def deliver(self, batch: Batch) -> Batch:
        """Returns when every document is in or held; StoppedError when told to stop."""
        waiting: list[list[tuple[str, Document]]] = [batch.documents]
        there: list[tuple[str, Document]] = []
        pause, lost = 0.0, 0
        while waiting:
            if self._stop.is_set():
                raise StoppedError("OpenSearch: stopped while sending")
            part = waiting.pop()
            if sum(each.size for _, each in part) > self.limit.now and len(part) > 1:
                waiting += reversed(_halves(part))
                continue
            try:
                again, judgement = self._send(part, batch, there)
            except (ConnectionLostError, RefusedError, OSError) as error:
                judgement = (
                    error.judgement
                    if isinstance(error, RefusedError)
                    else Judgement(Meaning.RETRY, "no answer", str(error))
                )
                again = part
                if isinstance(error, ConnectionLostError):
                    lost += 1
            if judgement.meaning is Meaning.DONE:
                pause, lost = 0.0, 0
                self.limit.raise_()
                self._healed()
                continue
            if judgement.is_too_much:
                self.limit.lower_senders()
            if judgement.meaning is Meaning.SPLIT or (
                lost >= _LOST_BEFORE_SPLIT and judgement.type == "no answer"
            ):
                lost = 0
                self.limit.lower()
                if len(again) > 1:
                    waiting += reversed(_halves(again))
                    again = []
                elif again[0][1].form != FALLBACK:
                    again[0][1].fall_back()  # One event alone is too much, or ends the node.
                elif judgement.meaning is Meaning.SPLIT:
                    batch.held.append((*again[0], str(judgement)))
                    again = []
            if again:
                waiting.append(again)
            pause = min(_PAUSE_MAX, max(_PAUSE_MIN, pause * 2))
            self._tell(judgement, pause)
            self._wait(pause)
        self._count_earlier(there, batch)
        return batch

    def _send(
        self, part: list[tuple[str, Document]], batch: Batch, there: list[tuple[str, Document]]
    ) -> tuple[list[tuple[str, Document]], Judgement]:
        """What of `part` has to be sent again, and the gravest reason for it."""
        for day in sorted({day for day, _ in part}):
            self._cluster.make_day(day)
        body = b"".join(piece for _, each in part for piece in (each.action, each.body, b"\n"))
        crash_point("opensearch.before.bulk")
        answer = self._cluster.wire.ask("POST", _PATH, body, content_type=NDJSON)
        crash_point("opensearch.after.bulk")
        found = answer.json()
        whole = of_request(answer.status, found)
        if whole.meaning is not Meaning.DONE:
            if whole.meaning is Meaning.BUG and len(part) > 1:
                # Some event may have made the request what it is: find it.
                whole = Judgement(Meaning.SPLIT, whole.type, whole.reason)
            elif whole.meaning is Meaning.BUG:
                return self._next_form(part[0], whole, batch), whole
            return part, whole
        items = found.get("items") if isinstance(found, dict) else None
        if not isinstance(items, list) or len(items) != len(part):
            return part, Judgement(
                Meaning.RETRY, "no bulk answer", f"{len(items or ())} items for {len(part)}"
            )
        again: list[tuple[str, Document]] = []
        worst = Judgement(Meaning.DONE)
        for each, item in zip(part, items, strict=True):
            result = item.get("create") or {}
            status = int(result.get("status", 0))
            judgement = of_item(status, result.get("error"))
            if judgement.meaning is Meaning.DONE:
                if status == 409:
                    there.append(each)
                self._count_form(each[1])
                continue
            self._metrics.increment("opentrail_opensearch_refused_total", type=judgement.type)
            if judgement.meaning in (Meaning.POISON, Meaning.BUG):
                again += self._next_form(each, judgement, batch)
                continue
            if judgement.type == "index_not_found_exception":
                self._cluster.forget_days()
            again.append(each)
            if worst.meaning is not Meaning.HOLD:
                worst = judgement
        if again and worst.meaning is Meaning.DONE:
            # Only other forms of refused events are left: at once, no pause.
            return self._send(again, batch, there)
        return again, worst

    def _next_form(
        self, each: tuple[str, Document], judgement: Judgement, batch: Batch
    ) -> list[tuple[str, Document]]:
        day, document = each
        if document.form == FALLBACK:
            batch.held.append((day, document, str(judgement)))
            return []
        document.fall_back()
        return [each]

    def _count_earlier(self, there: Sequence[tuple[str, Document]], batch: Batch) -> None:
        """Documents that were there: ours, sent before, or of another log."""
        while there:
            asked = [(index_of(day), document.key) for day, document in there]
            try:
                origins = self._cluster.origins(asked)
            except (ConnectionLostError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.judgement.meaning is Meaning.HOLD:
                    return  # A write-only role: the count is then short by these, and says so.
                self._tell(Judgement(Meaning.RETRY, "no answer", str(error)), _PAUSE_MIN)
                self._wait(_PAUSE_MIN)
                continue
            batch.earlier += sum(
                1
                for (_, document), origin in zip(there, origins, strict=True)
                if origin and origin != document.log_id
            )
            return

    def _count_form(self, document: Document) -> None:
        self._metrics.increment("opentrail_opensearch_events_total", form=document.form)

    def _tell(self, judgement: Judgement, pause: float) -> None:
        self._metrics.increment("opentrail_opensearch_retries_total", type=judgement.type)
        what = {
            Meaning.HOLD: "somebody has to change this; nothing is lost, tried again",
            Meaning.SPLIT: "smaller requests are tried",
        }.get(judgement.meaning, "nothing is lost, tried again")
        self._metrics.problem(
            "opensearch.refused" if judgement.meaning is Meaning.HOLD else "opensearch.waiting",
            f"{self._cluster.settings.url}: {judgement}; {what} in {pause:g} s",
        )

    def _healed(self) -> None:
        self._metrics.healed("opensearch.refused")
        self._metrics.healed("opensearch.waiting")

    def _wait(self, seconds: float) -> None:
        ends = self._clock.monotonic() + seconds
        while not self._stop.is_set() and (left := ends - self._clock.monotonic()) > 0:
            self._clock.pause(min(left, _WAIT_SLICE))


def _halves(part: list[tuple[str, Document]]) -> list[list[tuple[str, Document]]]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]]


__all__ = ["BYTES", "NORMALISED", "Batch", "Limit", "Sender", "StoppedError"]
Deliver = Callable[[Batch], Batch]
