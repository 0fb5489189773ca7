"""archive.retention: objects delivered long ago are removed; manifests and the sums stay.

The counts move to the ledger before the first object goes, with the time before which everything
goes; so a crash leaves objects that no longer count, and the next pass removes them. The age of an
object is that of its manifest's cut, never of a file.
"""

from collections import deque

from opentrail.clock import Clock
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination, DestinationError
from opentrail_aggregator.archive.ledger import read_ledger, write_ledger
from opentrail_aggregator.archive.roots import roots_of
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics

PASS_SECONDS = 3600.0
DELETES_PER_STEP = 50
PROBLEM = "archive.retention"


class Retention:
    """Runs a pass an hour, a few removals per step."""

    def __init__(
        self,
        home: Home,
        settings: ArchiveSettings,
        destination: Destination,
        clock: Clock,
        metrics: Metrics,
        files: Files = DISK,
    ) -> None:
        self._home, self._files = home, files
        self._age = settings.retention_seconds
        self._destination = destination
        self._catalog = Catalog(
            destination, settings.prefix, lambda: roots_of(home, settings.prefix, files)
        )
        self._clock = clock
        self._metrics = metrics
        self._next_pass = 0.0
        self._doomed: deque[str] = deque()

    def step(self) -> None:
        """Begin a pass when it is time; go on with the one under way."""
        if self._age is None:
            return
        try:
            if not self._doomed and self._clock.monotonic() >= self._next_pass:
                self._next_pass = self._clock.monotonic() + PASS_SECONDS
                self._doomed.extend(self._condemn(self._clock.now_ns() - int(self._age * 1e9)))
            for _ in range(min(DELETES_PER_STEP, len(self._doomed))):
                self._destination.delete(self._doomed[0])
                self._doomed.popleft()
        except DestinationError as error:
            self._metrics.problem(PROBLEM, f"old objects could not be removed: {error}")
            return
        self._metrics.healed(PROBLEM)

    def _condemn(self, before_ns: int) -> list[str]:
        """Move the counts of all that was cut before; what is still there of it."""
        ledger = read_ledger(self._home, self._destination.bucket, self._files)
        before_ns = max(before_ns, ledger.before_ns)  # A clock set back brings nothing back.
        present = {each.key for each in self._catalog.listed()}
        doomed: list[str] = []
        objects = events = counted = 0
        for key in self._catalog.manifest_keys():
            summary = self._catalog.summary(key)
            if summary.cut.delivered_at_ns >= before_ns:
                continue
            doomed += [entry.key for entry in summary.objects if entry.key in present]
            objects += len(summary.objects)
            events += sum(entry.events for entry in summary.objects)
            counted += sum(entry.counted for entry in summary.objects)
        if objects != ledger.objects or events != ledger.events:
            ledger.before_ns = before_ns
            ledger.objects, ledger.events, ledger.counted = objects, events, counted
            write_ledger(self._home, self._destination.bucket, ledger, self._files)
        return doomed
