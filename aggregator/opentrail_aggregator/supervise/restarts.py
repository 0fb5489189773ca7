"""When a process that ended is started again: at once, then later and later, then as if new.

State only: no processes, no clock. The caller tells when something started and ended.
"""

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 5.0
HEALTHY_SECONDS = 30.0
"""A process that lived this long is well: what happened before it is forgotten."""


class Restarts:
    """The history of one process, as far as its next start depends on it."""

    def __init__(self) -> None:
        self.failures = 0
        """Ends since the process was last well."""

    def ended(self, lived_seconds: float) -> float:
        """Note an end after `lived_seconds`; return how long to wait before the next start."""
        if lived_seconds >= HEALTHY_SECONDS:
            self.failures = 0
        self.failures += 1
        if self.failures == 1:
            return 0.0
        # The exponent is bounded, or a loop of days would compute 2 ** 100000.
        doublings = min(self.failures - 2, 10)
        return float(min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**doublings))
