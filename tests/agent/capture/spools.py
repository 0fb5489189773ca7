"""Spools for tests of what runs in an event loop."""

import asyncio

from .rig import Event, unpack


class MemorySpool:
    """Takes batches; can be told to wait, or to fail after some."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.positions: dict[str, int] = {}
        self.may_append = asyncio.Event()
        self.may_append.set()
        self.waiting = 0
        self.fail_after: int | None = None

    async def append(
        self, payload: bytes, events: int, refused: int, positions: dict[str, int]
    ) -> None:
        self.waiting += 1
        await self.may_append.wait()
        self.waiting -= 1
        if self.fail_after is not None and len(self.payloads) >= self.fail_after:
            raise OSError(28, "no space left on device")
        found = unpack(payload)
        assert (len(found.events), len(found.refused)) == (events, refused)
        self.payloads.append(payload)
        self.positions |= positions

    @property
    def events(self) -> list[Event]:
        return [event for payload in self.payloads for event in unpack(payload).events]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]
