"""Asks ingest to write: the log has one writer, and this process is not it.

What ingest answers is durable. When it is away for a moment (being started again) the call waits
for it, in a thread, so that the event loop does not; nothing is kept here.
"""

import asyncio
from typing import Any

from opentrail_aggregator.home import Home
from opentrail_aggregator.ingest.control import ControlClient

OWN_SECONDS = 5.0
OWN_STOPPING_SECONDS = 1.0
"""At a stop ingest may be gone first, and nothing waits long for it."""


class Inbox:
    """The way from inside into the log."""

    def __init__(self, home: Home) -> None:
        self._client = ControlClient(home)
        self.own_seconds = OWN_SECONDS
        """How long a call waits for its own event."""

    async def append(self, kind: str, body: dict[str, Any]) -> int:
        """Write a control frame; its position, once it is durable."""
        return await asyncio.to_thread(self._client.append, kind, body)

    async def submit(self, agent: str, payload: bytes) -> int:
        """Write a batch of events from inside; its position, once it is durable."""
        return await asyncio.to_thread(self._client.submit, agent, payload)

    def submit_own(self, agent: str, payload: bytes) -> int:
        """The same for the events of this port itself, and blocking; a caller waits for it."""
        return self._client.submit(agent, payload, self.own_seconds)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()
