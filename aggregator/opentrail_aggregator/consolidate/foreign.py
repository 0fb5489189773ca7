"""An event in the trail for events outside an agent's grant: who sent what, and where it lies.

One for each agent, account and region a minute, however many come; the counter and the quarantine
have all of them. It goes through ingest like every own event, before the verdict is written, under
an id that follows from the log: judged again after a crash, it is the same event. Where ingest does
not take it (a full log), it is kept in memory and tried again: judging does not wait for it.
"""

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from opentrail.batch import SourceRun, seal_batch
from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.quarantine.item import Item

AGENT = "opentrail/api"
"""In whose name all own events are in the log."""
SOURCE = "consolidate:grants"
EVENT_NAME = "EventsOutsideGrant"
FOLD_SECONDS = 60
RETRY_SECONDS = 5.0
WAITING_MAX = 1_000
_SPACE = uuid.UUID("6f0c3e0a-5f3b-4b5e-9a53-0d8e5a0d7c11")
_SECOND = 1_000_000_000

Submit = Callable[[str, bytes], int]
_log = logging.getLogger(__name__)


class ForeignEvents:
    """Tells of them in the trail."""

    def __init__(self, submit: Submit, clock: Clock) -> None:
        self._submit = submit
        self._clock = clock
        self._told: dict[tuple[str, str], int] = {}
        """By agent and what it does not speak for: until when repeats are folded."""
        self._waiting: list[bytes] = []
        self._try_at = 0.0

    def tell(self, items: Iterable[Item], log_id: str, settings: Mapping[str, Any]) -> None:
        """Write an event for each kind of foreign event among `items` that is news."""
        for item in items:
            key = (item.agent, item.detail)
            if item.reason != "outside_grant" or item.at < self._told.get(key, 0):
                continue
            if len(self._told) >= WAITING_MAX:
                self._told.clear()
            self._told[key] = item.at + FOLD_SECONDS * _SECOND
            if len(self._waiting) < WAITING_MAX:
                record = _record(item, log_id, settings)
                self._waiting.append(json.dumps(record, separators=(",", ":")).encode())
        self.flush(settings)

    def flush(self, settings: Mapping[str, Any]) -> None:
        """Hand over what waits, unless it was refused a moment ago."""
        if not self._waiting or self._clock.monotonic() < self._try_at:
            return
        run = SourceRun(
            source=SOURCE,
            account=str(settings.get("account", "")),
            region=str(settings.get("home_region", "")),
            events=len(self._waiting),
            kind="api",
        )
        lines = b"".join(each + b"\n" for each in self._waiting)
        try:
            self._submit(AGENT, seal_batch(lines, len(self._waiting), [run], []))
        except OpenTrailError as error:
            self._try_at = self._clock.monotonic() + RETRY_SECONDS
            _log.warning("the event about foreign events is not written yet: %s", error)
            return
        self._waiting.clear()


def _record(item: Item, log_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    moment = datetime.fromtimestamp(item.at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"{log_id}/{item.id}/{item.agent}/{item.detail}"
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"},
        "eventTime": moment,
        "eventSource": "cloudtrail.amazonaws.com",
        "eventName": EVENT_NAME,
        "awsRegion": settings.get("home_region", "us-east-1"),
        "sourceIPAddress": "cloudtrail.amazonaws.com",
        "userAgent": "cloudtrail.amazonaws.com",
        "errorCode": "OutsideGrant",
        "errorMessage": item.detail,
        "requestParameters": None,
        "responseElements": None,
        "eventID": str(uuid.uuid5(_SPACE, name)),
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": settings.get("account", "000000000000"),
        "serviceEventDetails": {
            "agent": item.agent,
            "source": item.source[:1024],
            "quarantineItem": item.id,
        },
        "eventCategory": "Management",
    }
