"""Batches in the making: events and refusals of several sources until there is enough to seal.

A `Draft` is filled piece by piece, in the order in which the sources were read, and becomes one
payload. It never grows beyond what a batch may hold: `is_full` says when to stop, and one piece
more than that always fits. When a draft that is not full is sealed is the `Pacer`'s decision.
"""

import base64
from collections import Counter
from dataclasses import dataclass, field

from opentrail.batch import RefusedItem, SourceRun, seal_batch
from opentrail.identity import derived_event_id
from opentrail.limits import (
    BATCH_MAX_EVENTS,
    BATCH_MAX_RAW_BYTES,
    BATCH_MAX_SOURCES_BYTES,
    BATCH_RAW_BYTES,
    EVENT_MAX_BYTES,
)
from opentrail.record import Admitted, Refused, admit

from .mapping import Mapping
from .pieces import Block, Fragment, Piece, Value, fragment_of
from .redact import Redactor

# What a run of a source, or one derived id, takes of the JSON of sources at most.
_RUN_BYTES = 400
_DERIVED_BYTES = 48
_REFUSED_BYTES = 400  # of a refusal, beside its head
# A chunk of the size of a batch holds a little less than one in whole lines.
FULL_BYTES = BATCH_RAW_BYTES * 9 // 10
# From here on a batch is sealed early when events keep coming.
BUSY_BYTES = BATCH_RAW_BYTES // 4
# A draft that is not full takes a block more: what was left of one chunk, and the next.
assert FULL_BYTES + EVENT_MAX_BYTES + BATCH_RAW_BYTES < BATCH_MAX_RAW_BYTES


TO_BE_DERIVED = "(to be derived)"
# Reasons to refuse what a parser has accepted as an object.
_OF_JSON = ("no_event_time", "bad_account", "bad_region", "bad_event_id")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the events of one generation of one source have in common."""

    source: str
    generation: str
    kind: str = "follow"
    account: str = ""
    region: str = ""
    mapping: Mapping | None = None
    redactor: Redactor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One payload, sealed."""

    payload: bytes
    events: int
    refused: int
    raw_bytes: int
    redacted: Counter[str] = field(default_factory=Counter)
    """Values hidden, by rule."""


@dataclass
class Draft:
    """One batch in the making."""

    events: int = 0
    raw_bytes: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _refused: list[RefusedItem] = field(default_factory=list)
    _runs: list[SourceRun] = field(default_factory=list)
    redacted: Counter[str] = field(default_factory=Counter)
    """Values hidden, by rule."""
    _refused_bytes: int = 0
    _sources_bytes: int = 0

    @property
    def refused(self) -> int:
        return len(self._refused)

    @property
    def size_bytes(self) -> int:
        """Bytes of events and refusals, before compression."""
        return self.raw_bytes + self._refused_bytes

    @property
    def is_empty(self) -> bool:
        return not self.events and not self._refused

    @property
    def is_full(self) -> bool:
        return (
            self.size_bytes >= FULL_BYTES
            or self.events >= BATCH_MAX_EVENTS
            or self.refused >= BATCH_MAX_EVENTS
            or self._sources_bytes >= BATCH_MAX_SOURCES_BYTES * 3 // 4
        )

    def add(self, origin: Origin, piece: Piece) -> None:
        """Take the next piece of a source: as an event, as many, or as a refusal."""
        if isinstance(piece, Block):
            run = self._run(origin, piece.offset, piece.end)
            data = piece.data
            if origin.redactor is not None:
                data = origin.redactor.block(data)
            run.events += piece.count
            self.events += piece.count
            self.raw_bytes += len(data)
            self._lines.append(data)
        elif isinstance(piece, Value):
            self._add_value(origin, piece)
        else:
            if origin.redactor is not None:
                piece = origin.redactor.refusal(piece)
            self._refuse(origin, piece)
        if origin.redactor is not None:
            self.redacted += origin.redactor.take_counts()

    def seal(self) -> Batch:
        """The payload, once; most of the work is compression, without the interpreter's lock."""
        lines, self._lines = b"".join(self._lines), []
        payload = seal_batch(lines, self.events, self._runs, self._refused)
        return Batch(payload, self.events, self.refused, self.size_bytes, self.redacted)

    def _add_value(self, origin: Origin, value: Value) -> None:
        line, natural = mapped(value.line, origin.mapping)
        verdict = judge(line, origin)
        if origin.redactor is not None:
            line, verdict = _redact(value, line, verdict, origin, origin.redactor)
        if isinstance(verdict, Refused):
            fragment = fragment_of(value.offset, value.data, verdict.reason, verdict.detail)
            if origin.redactor is not None:
                is_json = verdict.reason in _OF_JSON
                fragment = origin.redactor.refusal(fragment, value.data if is_json else b"")
            self._refuse(origin, fragment)
            return
        run = self._run(origin, value.offset, value.end)
        if verdict.event_id == TO_BE_DERIVED:
            derived = natural or derived_event_id(origin.generation, value.offset, value.data)
            run.derived[self.events] = derived
            self._sources_bytes += _DERIVED_BYTES
        run.events += 1
        self.events += 1
        self.raw_bytes += len(line) + 1
        self._lines += (line, b"\n")

    def _refuse(self, origin: Origin, fragment: Fragment) -> None:
        run = self._run(origin, fragment.offset, fragment.end)
        run.refused += 1
        item = RefusedItem(
            source=origin.source,
            offset=fragment.offset,
            length=fragment.length,
            reason=fragment.reason,
            sha256=fragment.sha256,
            head_b64=base64.b64encode(fragment.head).decode(),
            account=origin.account,
            region=origin.region,
            detail=fragment.detail,
        )
        self._refused.append(item)
        self._refused_bytes += len(item.head_b64) + _REFUSED_BYTES

    def _run(self, origin: Origin, begin: int, end: int) -> SourceRun:
        """The open run of `origin`, stretched to `end`."""
        run = self._runs[-1] if self._runs else None
        if (
            run is None
            or run.generation != origin.generation
            or run.source != origin.source
            or begin < run.end
        ):
            run = SourceRun(
                source=origin.source, account=origin.account, region=origin.region, begin=begin,
                generation=origin.generation, kind=origin.kind, derived={},
            )  # fmt: skip
            self._runs.append(run)
            self._sources_bytes += _RUN_BYTES + len(origin.source)
        run.end = end
        return run


def mapped(line: bytes, mapping: Mapping | None) -> tuple[bytes, str]:
    """The record that `line` stands for, and its natural eventID if it has one."""
    if mapping is None:
        return line, ""
    try:
        return mapping.apply(line)
    except (ValueError, RecursionError):
        return line, ""  # Admission says what is wrong with it: not JSON, no object, too deep.


def _redact(
    value: Value, line: bytes, verdict: Admitted | Refused, origin: Origin, redactor: Redactor
) -> tuple[bytes, Admitted | Refused]:
    """The record without its secrets, and the verdict on it.

    What is no event stays none, but the verdict must not quote what is hidden. The source's object
    is redacted first, under its own names; then the record, in case the mapping gave better ones.
    """
    if isinstance(verdict, Refused) and verdict.reason not in _OF_JSON:
        return line, verdict
    shown = line
    if origin.mapping is not None:
        told = redactor.line(value.line)
        if told is not value.line:
            shown, _ = mapped(told, origin.mapping)
    hidden = redactor.line(shown)
    again = verdict if hidden is line else judge(hidden, origin)
    if isinstance(verdict, Refused):
        redactor.take_counts()  # Counted when its bytes are.
        detail = again.detail if isinstance(again, Refused) else ""
        return hidden, Refused(verdict.reason, detail)
    redactor.admitted()
    return hidden, again


def judge(line: bytes, origin: Origin) -> Admitted | Refused:
    """Whether `line` is an event; its event_id is TO_BE_DERIVED if it has none."""
    verdict = admit(line, origin.account, origin.region, TO_BE_DERIVED)
    if isinstance(verdict, Admitted) and not line.isascii():
        try:
            line.decode()  # A decoder does not check what it skips.
        except UnicodeDecodeError as error:
            return Refused("bad_utf8", f"at byte {error.start}")
    return verdict


class Pacer:
    """When to seal a draft that is not full: soon while events pour in, seldom while they drip."""

    BUSY_SECONDS = 0.05

    def __init__(self, linger_seconds: float) -> None:
        self._linger_seconds = linger_seconds
        self._sealed_at = float("-inf")

    def is_due(self, draft: Draft, now: float) -> bool:
        if draft.is_empty:
            return False
        return draft.is_full or now >= self.due_at(draft)

    def due_at(self, draft: Draft) -> float:
        """The moment at which `draft` is sealed as it is."""
        busy = draft.raw_bytes >= BUSY_BYTES
        wait = min(self.BUSY_SECONDS, self._linger_seconds) if busy else self._linger_seconds
        # After a quiet time the first event does not wait at all.
        return self._sealed_at + wait

    def sealed(self, now: float) -> None:
        self._sealed_at = now
