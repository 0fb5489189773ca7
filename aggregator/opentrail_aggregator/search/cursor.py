"""Where the next page begins: the last event shown, bound to the search it belongs to.

    base64url( msgpack [version, binding, now, start, end, time, eventID, account] )

`binding` is a digest of the query's tree and the scope: a cursor given to another search is
refused, never misread. The times are carried along, so a relative `now-2h` means the same moment on
every page. A cursor holds no place in any store: it outlives restarts, rebuilds and dropped days.
"""

import base64
import hashlib

import msgspec

from opentrail_aggregator.search.engine import Hit, Scope
from opentrail_aggregator.search.errors import CursorError
from opentrail_aggregator.search.tree import Node, canonical

VERSION = 1
CURSOR_MAX_CHARACTERS = 2000
_HINT = "begin the search again without a cursor"


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The place of one event in the order, and the search it is a place in."""

    version: int
    binding: bytes
    now: int
    start: int | None
    end: int | None
    time_s: int
    event_id: str
    account: str

    @property
    def order(self) -> tuple[int, bytes, str]:
        return -self.time_s, self.event_id.encode("utf-8", "replace"), self.account

    def write(self) -> str:
        return base64.urlsafe_b64encode(_ENCODER.encode(self)).rstrip(b"=").decode()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Cursor)


def binding_of(node: Node, scope: Scope) -> bytes:
    """What ties a cursor to its search."""
    text = "\0".join((canonical(node), "|".join(scope.accounts), "|".join(scope.regions)))
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def cursor_after(hit: Hit, binding: bytes, now: int, start: int | None, end: int | None) -> Cursor:
    return Cursor(VERSION, binding, now, start, end, hit.time_s, hit.event_id, hit.account)


def read_cursor(text: str, binding: bytes, start: int | None, end: int | None) -> Cursor:
    """The cursor in `text`, if it belongs to the search of `binding`, `start` and `end`."""
    try:
        if len(text) > CURSOR_MAX_CHARACTERS:
            raise ValueError(f"{len(text)} characters")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = _DECODER.decode(raw)
    except (ValueError, msgspec.DecodeError) as error:
        raise CursorError(f"cursor: not one of ours ({error}); {_HINT}") from None
    if cursor.version != VERSION:
        raise CursorError(f"cursor: version {cursor.version}, this is {VERSION}; {_HINT}")
    if cursor.binding != binding:
        raise CursorError(f"cursor: it belongs to another query or other rights; {_HINT}")
    for name, given, kept in (("start", start, cursor.start), ("end", end, cursor.end)):
        if given is not None and given != kept:
            raise CursorError(
                f"cursor: it belongs to a search with {name} {kept}, not {given}; leave {name} "
                f"out, or {_HINT}"
            )
    return cursor
