"""A bucket followed by the notifications in an SQS queue.

A message is deleted when the aggregator has acknowledged all of its objects, not before; until then
it is kept hidden from others. So a crash anywhere makes it come again, and its objects are known
again. A message that names no object, or one that is not there, goes to the quarantine and is
deleted likewise; one whose object may not be read stays in the queue, for its redrive policy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opentrail.clock import Clock

from ..metrics import Metrics
from .client import S3Error, as_s3_error
from .feed import Poison
from .fetching import Wanted
from .layout import folder_of, holds_no_records
from .messages import objects_in
from .settings import S3SourceSettings

_WAIT_SECONDS = 2
"""How long an empty queue is waited on; a stop takes this long at most."""
_BATCH = 10
_POLL_MESSAGES = 500


@dataclass(slots=True, eq=False)
class _Message:
    receipt: str
    hidden_at: float
    left: int = 0
    """Objects that are not in the spool yet."""
    position: int = 0
    """Of the last of its batches."""
    is_given_up: bool = False


class QueueFeed:
    """One followed queue."""

    def __init__(
        self, settings: S3SourceSettings, sqs: Any, clock: Clock, metrics: Metrics
    ) -> None:
        self.name = settings.url
        self.wait_seconds = 0.0
        self._settings = settings
        self._sqs = sqs
        self._clock = clock
        self._metrics = metrics
        self._bucket, self._prefix = settings.place
        self._held: list[_Message] = []
        self.is_drained = False

    def poll(self, is_stopping: Callable[[], bool]) -> Iterator[Wanted | Poison]:
        # What a poll that failed did not come to is given up: those messages come again.
        self._held = [each for each in self._held if each.left == 0]
        self.is_drained = False
        wait = _WAIT_SECONDS
        for _ in range(_POLL_MESSAGES // _BATCH):
            if is_stopping():
                return
            asked: dict[str, int] = {
                "MaxNumberOfMessages": _BATCH, "WaitTimeSeconds": wait,
                "VisibilityTimeout": int(self._settings.visibility),
            }  # fmt: skip
            received = self._ask(self._sqs.receive_message, **asked).get("Messages", [])
            if not received:
                self.is_drained = not any(each.is_given_up for each in self._held)
                return
            wait = 0
            for each in received:
                yield from self._read(each["ReceiptHandle"], each["Body"])

    def _read(self, receipt: str, body: str) -> Iterator[Wanted | Poison]:
        message = _Message(receipt, self._clock.monotonic())
        self._held.append(message)
        try:
            named = objects_in(body)
        except ValueError as error:
            message.left = 1
            self._count("poison")
            yield Poison(f"sqs:{self._settings.queue}", body.encode(), str(error), message)
            return
        wanted = [(bucket, key) for bucket, key in named if self._is_wanted(bucket, key)]
        self._count("taken" if wanted else "left_out")
        message.left = len(wanted)
        for bucket, key in wanted:
            yield Wanted(bucket, key, 0, message)

    def _is_wanted(self, bucket: str, key: str) -> bool:
        if bucket != self._bucket or not key.startswith(self._prefix) or holds_no_records(key):
            return False
        return folder_of(key) in ("", *self._settings.folders)

    def failed(self, wanted: Wanted, error: S3Error) -> Poison | None:
        message = wanted.ticket
        assert isinstance(message, _Message)
        if error.reason == "gone":
            self._count("poison")
            data = wanted.url.encode()
            return Poison(f"sqs:{self._settings.queue}", data, str(error), message)
        message.is_given_up = True  # Not deleted: it comes again, or goes where it is redriven to.
        return None

    def spooled(self, tickets: Sequence[object], position: int) -> None:
        for message in tickets:
            assert isinstance(message, _Message)
            message.left -= 1
            message.position = max(message.position, position)

    def settle(self, acknowledged: int) -> None:
        """Delete what is stored for good, and keep the rest hidden; raises S3Error."""
        self._held = [each for each in self._held if not each.is_given_up]
        done = [each for each in self._held if each.left == 0 and each.position <= acknowledged]
        for some in _tens(done):
            entries = [
                {"Id": str(number), "ReceiptHandle": each.receipt}
                for number, each in enumerate(some)
            ]
            answer = self._ask(self._sqs.delete_message_batch, Entries=entries)
            for number in (int(each["Id"]) for each in answer.get("Successful", [])):
                self._held.remove(some[number])
                self._count("deleted")
            for _ in answer.get("Failed", []):
                self._count("not_deleted")
        now, half = self._clock.monotonic(), self._settings.visibility / 2
        for some in _tens([each for each in self._held if now - each.hidden_at >= half]):
            hidden: list[dict[str, Any]] = [
                {
                    "Id": str(number),
                    "ReceiptHandle": each.receipt,
                    "VisibilityTimeout": int(self._settings.visibility),
                }
                for number, each in enumerate(some)
            ]
            for each in some:
                each.hidden_at = now
            self._ask(self._sqs.change_message_visibility_batch, Entries=hidden)

    def _ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return call(QueueUrl=self._settings.queue, **arguments)
        except Exception as error:
            raise as_s3_error(error, self._settings.queue) from error

    def _count(self, what: str) -> None:
        self._metrics.increment("opentrail_agent_s3_messages_total", what=what)


def _tens(messages: list[_Message]) -> Iterator[list[_Message]]:
    for begin in range(0, len(messages), _BATCH):
        yield messages[begin : begin + _BATCH]
