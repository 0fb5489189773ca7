"""When to try again, and at which address.

Waits grow by doubling and are drawn at random below their bound, so a thousand agents that lost the
same aggregator do not come back in the same instant. Addresses belong to one aggregator: a failure
moves on to the next at once, only a whole round of failures waits longer.
"""

import random
from collections.abc import Sequence


class Backoff:
    """Decides the next address and the wait before it."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        initial_seconds: float,
        max_seconds: float,
        generator: random.Random,
    ) -> None:
        assert addresses
        self._addresses = tuple(addresses)
        self._initial_seconds = initial_seconds
        self._max_seconds = max_seconds
        self._generator = generator
        self._index = 0
        self._failures = 0

    @property
    def address(self) -> str:
        """Where to connect next."""
        return self._addresses[self._index]

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def succeeded(self) -> None:
        """A connection made progress: the next failure is a first one again."""
        self._failures = 0

    def failed(self) -> float:
        """Move on to the next address; the seconds to wait before trying it."""
        self._index = (self._index + 1) % len(self._addresses)
        rounds = self._failures // len(self._addresses)
        self._failures += 1
        # The exponent is bounded: after days of outage 2 ** rounds is no number to work with.
        bound = min(self._max_seconds, self._initial_seconds * 2.0 ** min(rounds, 30))
        return self._generator.uniform(bound / 4, bound)

    def again(self) -> float:
        """The same address after an orderly end; a short wait spreads the agents."""
        return self._generator.uniform(0, self._initial_seconds)
