"""Finished contents become batches: one content after the other, many in a batch, in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opentrail.limits import BATCH_RAW_BYTES

from ..capture.batching import Batch, Draft, Origin
from ..capture.content import Content, GzipContent
from ..capture.mapping import Mapping
from ..capture.pieces import Fragment
from ..capture.redact import redactor_of
from ..capture.settings import Kind, MappingSettings, Redact
from ..capture.sight import Sight
from ..capture.splitter import Place, Splitter

CHUNK_BYTES = BATCH_RAW_BYTES


@dataclass(frozen=True, slots=True)
class Step:
    """A batch, and how far it goes."""

    batch: Batch
    reached: dict[str, Place | None]
    """Generation -> how far; None: done."""
    ended: list[object] = field(default_factory=list)
    """What `Cutter.ended` was told of: all of it is in this batch and those before it."""


@dataclass(frozen=True, slots=True)
class As:
    """What contents are taken for."""

    kind: Kind = "auto"
    account: str = ""
    region: str = ""
    mapping: MappingSettings | None = None
    redact: Redact = "auto"


class Cutter:
    """One batch in the making; for one thread."""

    def __init__(self, taken_for: As, origin_kind: str = "import") -> None:
        self._as = taken_for
        self._origin_kind = origin_kind
        self._draft = Draft()
        self._ended: list[object] = []
        self.touched: dict[str, Place | None] = {}
        """Generations in the batch in the making."""

    @property
    def has_more(self) -> bool:
        """Whether something waits to be sealed."""
        return not self._draft.is_empty or bool(self._ended)

    def cut(
        self,
        source: str,
        content: Content,
        generation: str,
        length: int,
        place: Place,
        *,
        is_stopping: Callable[[], bool],
        advance: Callable[[Content, int, int], None] = lambda content, offset, length: None,
    ) -> Iterator[Step]:
        """Every batch that gets full; the rest of the content waits in the next one."""
        taken = self._as
        is_mapped = taken.mapping is not None and taken.kind == "mapped"
        mapping = Mapping(taken.mapping, source) if taken.mapping and is_mapped else None
        redactor = redactor_of(taken.redact, taken.kind, source)
        origin = Origin(
            source, generation, self._origin_kind, taken.account, taken.region, mapping, redactor
        )
        splitter = Splitter(
            place,
            count_events=Sight(taken.account, taken.region, redactor).count
            if mapping is None
            else None,
            containers=taken.kind in ("auto", "cloudtrail"),
        )
        is_at_end = False
        while not is_at_end:
            if is_stopping():
                return
            offset = splitter.read_offset
            chunk = content.read(offset, min(CHUNK_BYTES, length - offset))
            advance(content, offset, len(chunk))
            splitter.feed(chunk)
            is_at_end = splitter.read_offset >= length or not chunk
            for piece in splitter.pieces(final=is_at_end, more=not is_at_end):
                self._draft.add(origin, piece)
                self.touched[generation] = splitter.place
                if self._draft.is_full:
                    yield self.seal()
        if isinstance(content, GzipContent) and not content.is_complete():
            why = content.damage or "the file ends within a member"
            self._draft.add(origin, content.damaged_rest(length, why))
        self.touched[generation] = None

    def refuse(self, source: str, fragment: Fragment) -> None:
        """Take something that is no event, whole."""
        taken = self._as
        generation = fragment.sha256
        origin = Origin(source, generation, self._origin_kind, taken.account, taken.region)
        self._draft.add(origin, fragment)

    def ended(self, what: object) -> None:
        """All that was cut so far includes all of `what`."""
        self._ended.append(what)

    def seal(self) -> Step:
        """The batch as it is; may hold no event at all."""
        step = Step(self._draft.seal(), self.touched, self._ended)
        self._draft, self.touched, self._ended = Draft(), {}, []
        return step
