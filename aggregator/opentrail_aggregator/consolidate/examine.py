"""Looking at one batch: which lines are events, of whom, where and when. No state, no disk.

A batch is decoded at once (`decode_lines`), into few fields. That is safe only where every line is
one JSON value: a line with two values and a value over two lines would shift all that follow and
give one record the identity of another. Where each line begins with `{` and ends with `}`, no line
break can lie inside a value (JSON has a comma, a colon or a bracket at such a place), so as many
values as lines means one on each. Batches that are not so, or hold a line that cannot be read, are
looked at line by line.

What the quick way cannot tell at once is left to `opentrail.record.admit`, the one definition of
what an event is; its answers are the same, only slower.
"""

import hashlib
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from opentrail.batch import (
    BatchError,
    BatchHead,
    RefusedItem,
    SourceRun,
    batch_events,
    batch_refused,
    batch_sources,
)
from opentrail.identity import (
    ALWAYS_GLOBAL,
    KEY_BYTES,
    SOMETIMES_GLOBAL,
    canonical_region,
    event_key,
    hour_of,
    is_global,
)
from opentrail.limits import EVENT_MAX_BYTES, JSON_MAX_DEPTH
from opentrail.record import (
    Admitted,
    RecordView,
    Refused,
    admit,
    admit_view,
    event_id_of,
    is_too_deep,
)
from opentrail_aggregator.consolidate.policy import Policy
from opentrail_aggregator.consolidate.verdict import NO_GROUP, Group

if TYPE_CHECKING:
    from opentrail_aggregator.wal.log import LogEntry

_PLAIN_ID_CHARACTERS = 64
"""An eventID so short is within its limit of bytes whatever its characters."""


class _Line(msgspec.Struct, gc=False):
    eventTime: Any = None
    eventID: Any = None
    eventSource: Any = None
    awsRegion: Any = None
    recipientAccountId: Any = None


_decoder = msgspec.json.Decoder(_Line)
_view_decoder = msgspec.json.Decoder(RecordView)
_MINUTES = {
    f"{minute:02d}:{second:02d}Z": 60 * minute + second
    for minute in range(60)
    for second in range(60)
}


@dataclass(slots=True)
class Examined:
    """A batch as it was found; the lists have one entry per line."""

    lines: list[bytes] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    """Empty bytes for a refused line."""
    group_of: list[int] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    derived: dict[int, str] = field(default_factory=dict)
    sources: list[SourceRun] = field(default_factory=list)
    items: list[RefusedItem] = field(default_factory=list)
    """What the agent itself refused."""

    def hashes(self) -> bytes:
        """The first 8 bytes of each line's SHA-256."""
        sha256 = hashlib.sha256
        return b"".join([sha256(line).digest()[:8] for line in self.lines])

    def source_of(self, ordinal: int) -> SourceRun:
        """The run of a line; an empty one for a line that no run claims."""
        for run in self.sources:
            if ordinal < run.events:
                return run
            ordinal -= run.events
        return SourceRun(source="")


def examine(entry: "LogEntry", policy: Policy, future_seconds: int) -> Examined:
    """What the batch in `entry` holds; BatchError if it cannot be opened or contradicts itself."""
    raw = batch_events(entry.payload)
    lines = raw.split(b"\n")
    if lines.pop():
        raise BatchError("the last record of a batch does not end with a line feed")
    stated = BatchHead.parse(entry.payload).events
    if not len(lines) == stated == entry.events:
        raise BatchError(
            f"a batch of {len(lines)} lines states {stated} records, its frame {entry.events}"
        )
    sources = batch_sources(entry.payload)
    claimed = sum(run.events for run in sources)
    if claimed != len(lines):
        raise BatchError(f"the sources of a batch claim {claimed} of its {len(lines)} records")
    found = Examined(lines=lines, sources=sources, items=batch_refused(entry.payload))
    latest = entry.appended_at_ns // 1_000_000_000 + future_seconds
    look = _Look(found, policy, entry.agent, latest)
    views = None if _holds_too_large(raw, lines) else _decode_at_once(raw, lines)
    ordinal = 0
    for run in sources:
        through = ordinal + run.events
        if views is None:
            for at in range(ordinal, through):
                look.slowly(at, run)
        else:
            look.quickly(ordinal, views[ordinal:through], run)
        ordinal = through
    return found


def admitted_at(payload: bytes, ordinal: int) -> tuple[bytes, Admitted] | None:
    """The line `ordinal` of a batch and what it is, None if there is no such event."""
    lines = batch_events(payload).split(b"\n")
    if ordinal >= len(lines) - 1:
        return None
    found = Examined(sources=batch_sources(payload))
    run = found.source_of(ordinal)
    what = admit(lines[ordinal], run.account, run.region, run.derived.get(ordinal, ""))
    return (lines[ordinal], what) if isinstance(what, Admitted) else None


def _holds_too_large(raw: bytes, lines: list[bytes]) -> bool:
    return len(raw) > EVENT_MAX_BYTES and max(map(len, lines)) > EVENT_MAX_BYTES


def _decode_at_once(raw: bytes, lines: list[bytes]) -> list[_Line] | None:
    """A view per line, None where they have to be looked at one by one."""
    if not all([line[:1] == b"{" and line[-1:] == b"}" for line in lines]):
        return None
    # A value that deep is at least so long, and few lines are: counting brackets in all is dear.
    if any([len(line) > 2 * JSON_MAX_DEPTH and is_too_deep(line) for line in lines]):
        return None
    try:
        if not raw.isascii():
            raw.decode()  # msgspec does not look into strings it passes over.
        views = _decoder.decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return views if len(views) == len(lines) else None


class _Place(NamedTuple):
    """What all events of one account, region and hour have in common."""

    seconds: int
    """When the hour begins."""
    group: int
    head: bytes
    """What stands before the eventID in the text that an event key is the hash of."""
    tail: bytes


_Name = tuple[str, str, str, str]
"""Account, the record's region, the first 14 characters of eventTime, and the global region if the
event is of a global service."""


class _Look:
    """Goes over the lines of one batch and fills in an Examined."""

    def __init__(self, found: Examined, policy: Policy, agent: str, latest: int) -> None:
        self._found = found
        self._policy = policy
        self._agent = agent
        self._latest = latest
        self._places: dict[_Name, _Place | None] = {}
        """None: anything speaks against it, so look slowly and find out what."""
        self._groups: dict[tuple[str, str, int], int] = {}
        self._maybe_global = ALWAYS_GLOBAL | SOMETIMES_GLOBAL | policy.global_services

    def quickly(self, ordinal: int, views: list[_Line], run: SourceRun) -> None:
        """Lines from `ordinal` on, of one source, by their decoded views."""
        found, places, maybe_global = self._found, self._places, self._maybe_global
        add_time, add_key, add_group = found.times.append, found.keys.append, found.group_of.append
        latest = self._latest
        for at, view in enumerate(views, ordinal):
            event_id = view.eventID
            try:
                begin = view.eventTime[:14]
                if view.eventSource in maybe_global:
                    place = self._maybe_global_place(at, view)
                else:
                    name = (view.recipientAccountId, view.awsRegion, begin, "")
                    place = places[name] if name in places else self._open_place(name)
                rest = _MINUTES.get(view.eventTime[14:])
                plain = 0 < len(event_id) <= _PLAIN_ID_CHARACTERS and event_id.isprintable()
            except (TypeError, AttributeError):  # A member of another type than it should have.
                place = rest = plain = None
            if place is None or rest is None or not plain or place.seconds + rest > latest:
                self.slowly(at, run)
                continue
            add_time(place.seconds + rest)
            add_group(place.group)
            text = place.head + event_id.encode("utf-8", "surrogatepass") + place.tail
            add_key(blake2b(text, digest_size=KEY_BYTES).digest())

    def _maybe_global_place(self, ordinal: int, view: _Line) -> _Place | None:
        """The place of an event whose service may be global: that needs the whole view."""
        whole = _view_decoder.decode(self._found.lines[ordinal])
        services = self._policy.global_services
        globally = ""
        if is_global(whole, services):
            globally = canonical_region(whole, view.awsRegion, services)
        name = (view.recipientAccountId, view.awsRegion, view.eventTime[:14], globally)
        return self._places[name] if name in self._places else self._open_place(name)

    def _open_place(self, name: "_Name") -> _Place | None:
        """The place of that name, None if anything speaks against events there."""
        account, region, begin, globally = name
        probe = RecordView(
            eventTime=f"{begin}00:00Z", eventID="x", recipientAccountId=account, awsRegion=region
        )
        what = admit_view(probe, 0)
        place = None
        # Equal: nothing else stood in for what the record says.
        if isinstance(what, Admitted) and (what.account, what.region) == (account, region):
            canonical = globally or region
            if self._policy.allows(self._agent, account, canonical, is_global=bool(globally)):
                hour = hour_of(what.time_s)
                place = _Place(
                    what.time_s,
                    self._group(account, canonical, hour),
                    f"{account}\0".encode(),
                    f"\0{hour}".encode(),
                )
        self._places[name] = place
        return place

    def slowly(self, ordinal: int, run: SourceRun) -> None:
        """One line by the full rules."""
        line = self._found.lines[ordinal]
        derived = run.derived.get(ordinal, "")
        what: Admitted | Refused
        try:
            line.decode()  # msgspec does not look into strings it passes over.
            what = admit(line, run.account, run.region, derived)
        except UnicodeDecodeError as error:
            what = Refused("bad_utf8", f"at byte {error.start}")
        if isinstance(what, Refused):
            self._refuse(ordinal, what)
            return
        services = self._policy.global_services
        region = canonical_region(what.view, what.region, services)
        if not self._policy.allows(
            self._agent, what.account, region, is_global=is_global(what.view, services)
        ):
            detail = f"{self._agent!r} does not speak for {what.account} {region}"
            self._refuse(ordinal, Refused("outside_grant", detail))
            return
        if what.time_s > self._latest:
            detail = f"eventTime is {what.time_s - self._latest} s beyond what is taken"
            self._refuse(ordinal, Refused("future", detail))
            return
        if derived and not event_id_of(what.view):
            self._found.derived[ordinal] = derived
        hour = hour_of(what.time_s)
        self._found.times.append(what.time_s)
        self._found.group_of.append(self._group(what.account, region, hour))
        self._found.keys.append(event_key(what.account, what.event_id, hour))

    def _group(self, account: str, region: str, hour: int) -> int:
        group = (account, region, hour)
        index = self._groups.get(group)
        if index is None:
            index = self._groups[group] = len(self._found.groups)
            self._found.groups.append(Group(account, region, hour))
        return index

    def _refuse(self, ordinal: int, why: Refused) -> None:
        self._found.refused[ordinal] = why
        self._found.times.append(0)
        self._found.keys.append(b"")
        self._found.group_of.append(NO_GROUP)
