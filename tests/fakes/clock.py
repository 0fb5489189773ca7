"""A clock that moves only when a test moves it."""

import asyncio


class FakeClock:
    """Wall and monotonic time by hand; sleepers wake when time passes their moment."""

    def __init__(self, now_s: float = 1_767_225_600.0) -> None:
        self._now_ns = int(now_s * 1e9)
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks and wake whom it wakes."""
        self._now_ns += int(seconds * 1e9)
        self._monotonic += seconds
        due = [future for when, future in self._sleepers if when <= self._monotonic]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self._monotonic]
        for future in due:
            if not future.done():
                future.set_result(None)

    def jump(self, seconds: float) -> None:
        """Let the wall clock jump, as an operator or NTP makes it do."""
        self._now_ns += int(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, future))
        await future

    def pause(self, seconds: float) -> None:
        self.advance(seconds)
