"""Whether what agents sent is in the log without a gap, as the manifests tell it.

Each manifest says how far the batches of each agent had come. In one log that number only rises; if
it falls, the log was put back to an earlier state. Batches that never reached the log, as after
frames of it were lost, are named as gaps.

Nothing is said of what lies between two logs, or before the first batch of one: manifests say how
far an agent is archived at least, so nobody could tell what was lost from what is there.
"""

from collections.abc import Iterator

from opentrail_aggregator.archive.manifest import AgentEntry, Manifest


class Numberings:
    """Takes the manifests of each trail in their order; `take` gives what is wrong."""

    def __init__(self) -> None:
        self._through: dict[tuple[str, str, str, str], tuple[int, str]] = {}
        """Log, trail, agent, epoch -> the batch it had come to, and which manifest says so."""
        self._told: set[tuple[str, str, str, int]] = set()
        """Log, agent, epoch and beginning of gaps: later manifests name them again."""

    def take(self, key: str, manifest: Manifest) -> Iterator[str]:
        """Look at the agents in one manifest."""
        for entry in manifest.agents:
            name = (manifest.log_id, manifest.trail, entry.agent, entry.epoch)
            now, (before, said_by) = entry.consolidated_through, self._through.get(name, (0, ""))
            if now < before:
                yield (
                    f"{key}: {_whose(entry)}: the log had come to batch {now:,}, and to {before:,} "
                    f"in the manifest before, {said_by}"
                )
            self._through[name] = (now, key)
            for first, last in entry.gaps:
                gap = (manifest.log_id, entry.agent, entry.epoch, first)
                if gap not in self._told:
                    self._told.add(gap)
                    yield f"{key}: {_whose(entry)}: {_batches(first, last)} never reached the log"


def _whose(entry: AgentEntry) -> str:
    return f"agent {entry.agent[:200]}, epoch {entry.epoch[:32]}"


def _batches(first: int, last: int) -> str:
    return f"batch {first:,}" if first == last else f"batches {first:,} to {last:,}"
