"""One page of a listing, as S3 cuts it: keys in order, what a delimiter folds, where to go on.

Reads only as much of the archive's folder as the page needs: what is folded, and what the caller
may not see, is passed by without being walked through.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentrail_aggregator.access.objects import covers_object
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.archive.destination import Destination, Listed

PAGE_MAX = 1000
_BEHIND = "\x7f"
"""Greater than whatever may stand in a key."""
_SEGMENTS_TO_ACCOUNT, _SEGMENTS_TO_REGION = 1, 3


@dataclass(slots=True)
class Page:
    """What one answer holds."""

    objects: list[Listed] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    """What the delimiter folded."""
    last: str = ""
    """The last key or prefix in it: the next page begins behind."""
    is_truncated: bool = False

    @property
    def size(self) -> int:
        return len(self.objects) + len(self.prefixes)


def read_page(
    destination: Destination, scope: Scope, prefix: str, delimiter: str, after: str, most: int
) -> Page:
    """At most `most` keys and folded prefixes that are greater than `after`."""
    page = Page()
    if most == 0:
        return page
    listed = _Walk(destination, prefix, after)
    for each in listed:
        if not covers_object(scope, each.key):
            listed.skip(_not_covered(scope, each.key, prefix))
            continue
        folded = _folded(each.key, prefix, delimiter)
        if folded:
            listed.skip(folded)
            if after.startswith(folded):
                continue  # It was in an earlier page.
        if page.size == most:
            page.is_truncated = True
            break
        if folded:
            page.prefixes.append(folded)
        else:
            page.objects.append(each)
        page.last = folded or each.key
    return page


class _Walk:
    """Keys in order; `skip` passes by all that begin with something."""

    def __init__(self, destination: Destination, prefix: str, after: str) -> None:
        self._destination, self._prefix = destination, prefix
        self._keys = iter(destination.list(prefix, after))

    def __iter__(self) -> Iterator[Listed]:
        return self

    def __next__(self) -> Listed:
        return next(self._keys)

    def skip(self, start: str) -> None:
        if start:
            self._keys = iter(self._destination.list(self._prefix, start + _BEHIND))


def _folded(key: str, prefix: str, delimiter: str) -> str:
    if not delimiter:
        return ""
    at = key.find(delimiter, len(prefix))
    return key[: at + len(delimiter)] if at >= 0 else ""


def _not_covered(scope: Scope, key: str, prefix: str) -> str:
    """What can be passed by with `key`: its account, or its folder's region; nothing if unclear."""
    root, found, rest = key.partition("AWSLogs/")
    parts = rest.split("/")
    if not found or len(parts) < _SEGMENTS_TO_REGION + 1 or parts[0].startswith("o-"):
        return ""
    is_account = not scope.covers_account(parts[0])
    count = _SEGMENTS_TO_ACCOUNT if is_account else _SEGMENTS_TO_REGION
    start = f"{root}{found}{'/'.join(parts[:count])}/"
    return start if len(start) > len(prefix) or prefix.startswith(start) else ""
