"""Reading what several trails delivered, each event once.

An event counts in one object, of the first trail that took it. An object all of whose events count
is read whole, one of whose events none counts not at all. Where trails overlap in part there are
objects between: their events are passed by that lie in a whole one, or were read from another
between.
"""

from collections.abc import Callable, Collection
from typing import Any

from opentrail_aggregator.archive.manifest import Manifest, ManifestSummary, ObjectEntry
from opentrail_aggregator.archive.staging.slices import undeltas

_Place = tuple[str, str, str, str, str]


class Once:
    """For one pass over manifests; `read` gives a whole one by its key."""

    def __init__(self, read: Callable[[str], Manifest]) -> None:
        self._read = read
        self._whole: dict[_Place, list[str]] = {}
        self._passed: dict[_Place, set[int]] = {}

    def know(self, key: str, summary: ManifestSummary) -> None:
        """Take note of a manifest, before anything is read."""
        for entry in summary.objects:
            if entry.counted == entry.events:
                keys = self._whole.setdefault(_place(summary, entry), [])
                if key not in keys:
                    keys.append(key)

    def is_nothing(self, entry: ObjectEntry) -> bool:
        """Whether all of its events are read elsewhere."""
        return not entry.counted

    def elsewhere(self, manifest: Manifest, entry: ObjectEntry) -> Collection[int]:
        """The positions in an object that were, or will be, read from another."""
        if entry.counted == entry.events:
            return ()
        place = _place(manifest, entry)
        passed = self._passed.get(place)
        if passed is None:
            passed = self._passed[place] = self._in_whole_ones(place)
        own = set(undeltas(entry.positions).tolist())
        repeated = own & passed
        passed |= own
        return repeated

    def _in_whole_ones(self, place: _Place) -> set[int]:
        found: set[int] = set()
        for key in self._whole.get(place, []):
            manifest = self._read(key)
            for entry in manifest.objects:
                if _place(manifest, entry) == place and entry.counted == entry.events:
                    found.update(undeltas(entry.positions).tolist())
        return found


def _place(manifest: Any, entry: Any) -> _Place:
    """Copies of an event in objects of several trails lie under the same one."""
    return manifest.log_id, manifest.account, manifest.region, entry.hour, entry.folder
