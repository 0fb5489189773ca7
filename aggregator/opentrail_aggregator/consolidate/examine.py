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
from typing import TYPE_CHECKING, Any

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
    SOMETIMES_GLOBAL,
    canonical_region,
    event_key,
    is_global,
)
from opentrail.limits import EVENT_MAX_BYTES
from opentrail.record import (
    Admitted,
    RecordView,
    Refused,
    admit,
    admit_view,
    event_id_of,
    parse_time,
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
_PROBE_TIME = "2000-01-01T00:00:00Z"
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
    views = None if _holds_too_large(raw, lines) else _decode_at_once(raw, len(lines))
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


def _decode_at_once(raw: bytes, count: int) -> list[_Line] | None:
    """A view per line, None where they have to be looked at one by one."""
    if not (raw.startswith(b"{") and raw.endswith(b"}\n") and raw.count(b"}\n{") == count - 1):
        return None
    try:
        if not raw.isascii():
            raw.decode()  # msgspec does not look into strings it passes over.
        views = _decoder.decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return views if len(views) == count else None


class _Look:
    """Goes over the lines of one batch and fills in an Examined."""

    def __init__(self, found: Examined, policy: Policy, agent: str, latest: int) -> None:
        self._found = found
        self._policy = policy
        self._agent = agent
        self._latest = latest
        self._hours: dict[str, int | None] = {}
        """`2026-11-24T13:` -> seconds since 1970, None if it is no beginning of a time."""
        self._places: dict[tuple[str, str], bool] = {}
        """Account and region of a regional record -> admissible, and within the grant."""
        self._groups: dict[tuple[str, str, int], int] = {}
        self._global = ALWAYS_GLOBAL | SOMETIMES_GLOBAL | policy.global_services

    def quickly(self, ordinal: int, views: list[_Line], run: SourceRun) -> None:
        """Lines from `ordinal` on, of one source, by their decoded views."""
        hours, places, global_services = self._hours, self._places, self._global
        for view in views:
            time, event_id, source = view.eventTime, view.eventID, view.eventSource
            account, region = view.recipientAccountId, view.awsRegion
            if (
                type(time) is str
                and type(event_id) is str
                and type(account) is str
                and type(region) is str
                and type(source) is str
                and source not in global_services
                and 0 < len(event_id) <= _PLAIN_ID_CHARACTERS
                and event_id.isprintable()
            ):
                begin, place = time[:14], (account, region)
                base = hours[begin] if begin in hours else self._hour(begin)
                rest = _MINUTES.get(time[14:])
                plain = places[place] if place in places else self._place(place)
                if plain and base is not None and rest is not None:
                    self._event(ordinal, account, region, base + rest, event_id)
                    ordinal += 1
                    continue
            self.slowly(ordinal, run)
            ordinal += 1

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
        if derived and not event_id_of(what.view):
            self._found.derived[ordinal] = derived
        self._event(ordinal, what.account, region, what.time_s, what.event_id)

    def _event(self, ordinal: int, account: str, region: str, time: int, event_id: str) -> None:
        found = self._found
        if time > self._latest:
            detail = f"eventTime is {time - self._latest} s beyond what is taken"
            self._refuse(ordinal, Refused("future", detail))
            return
        hour = time // 3600
        group = (account, region, hour)
        index = self._groups.get(group)
        if index is None:
            index = self._groups[group] = len(found.groups)
            found.groups.append(Group(account, region, hour))
        found.times.append(time)
        found.keys.append(event_key(account, event_id, hour))
        found.group_of.append(index)

    def _refuse(self, ordinal: int, why: Refused) -> None:
        found = self._found
        found.derived.pop(ordinal, None)
        found.refused[ordinal] = why
        found.times.append(0)
        found.keys.append(b"")
        found.group_of.append(NO_GROUP)

    def _hour(self, begin: str) -> int | None:
        base = parse_time(f"{begin}00:00Z") if len(begin) == 14 else None
        self._hours[begin] = base
        return base

    def _place(self, place: tuple[str, str]) -> bool:
        """Whether nothing speaks against regional events of this account and region."""
        account, region = place
        probe = RecordView(
            eventTime=_PROBE_TIME, eventID="x", recipientAccountId=account, awsRegion=region
        )
        self._places[place] = isinstance(admit_view(probe, 0), Admitted) and self._policy.allows(
            self._agent, account, region, is_global=False
        )
        return self._places[place]
