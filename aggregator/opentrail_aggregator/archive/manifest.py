"""Manifests: what a cut delivered, written once and chained.

A cut closes parts of one trail, account and region at one position of the log; its manifest names
the objects with checksum, counts and the log position of every record, how far each agent had been
heard, and the manifest of the trail's previous cut. The chain runs through all accounts and regions
of a trail in the order of cutting, so what was removed anywhere is missed by whatever comes next.

Everything in a manifest follows from the log up to the cut: it is the same bytes whenever it is
made again. What depends on the version of a compressor (stored sizes) is therefore not in it.
"""

from typing import Any

import msgspec

from opentrail_aggregator.archive.keys import MANIFEST_FOLDER, object_key, unique_name

VERSION = 2
"""2 has `follows`, `archived_through`, `archived_until` and, of each agent, `archived_through`."""
MANIFEST_MAX_BYTES = 1 << 30
"""Uncompressed; a seal names at most a few hundred parts of 50 MB."""


class ObjectEntry(msgspec.Struct, kw_only=True):
    """One object of records."""

    key: str
    sha256: str
    """Of the uncompressed bytes."""
    bytes: int
    """Uncompressed."""
    events: int
    counted: int
    """Events that count in the sums of `status`: each once, however many trails deliver it."""
    folder: str
    hour: str
    """Beginning of the hour in which all its events lie, RFC 3339."""
    oldest_event_time: str
    newest_event_time: str
    first_position: int
    """Global log position (frame << 16 | ordinal) of the first record."""
    last_position: int
    positions: list[int]
    """The first record's position, then the step from each record to the next."""
    derived: dict[int, str] = {}
    """Ordinal in the object -> eventID, for records that carry none."""
    complete: bool
    """Every agent that speaks for account and region had reported past the hour's end."""
    missing: list[str] = []
    """The agents that had not."""


class AgentEntry(msgspec.Struct, kw_only=True):
    """How far one numbering of one agent had come."""

    agent: str
    epoch: str
    begins_at: int
    """Batches before this number never reached this log."""
    consolidated_through: int
    gaps: list[tuple[int, int]] = []
    reported_until: str | None
    """Everything the agent had read before this time is consolidated."""
    archived_through: int | None = None
    """Every event of its batches through this number is in an object of this or an earlier cut."""


class Previous(msgspec.Struct, kw_only=True):
    """The manifest of the cut before."""

    key: str
    sha256: str


class Cut(msgspec.Struct, kw_only=True):
    """Where and why."""

    position: int
    """Global log position: everything of its parts before it is in."""
    reason: str
    delivered_at: str
    delivered_at_ns: int


class Manifest(msgspec.Struct, kw_only=True):
    """One cut."""

    version: int = VERSION
    log_id: str
    follows: list[str] = []
    """Logs that this one was begun after, over their archive; the newest first."""
    trail: str
    account: str
    region: str
    sequence: int
    """1 for the trail's first cut, then one more for each, also across logs."""
    previous: Previous | None
    archived_through: int | None = None
    """Frame through which all events are in objects of this and the trail's earlier cuts."""
    archived_until: str | None = None
    """Everything that came in through this time is."""
    cut: Cut
    complete: bool
    missing: list[str] = []
    events: int
    objects: list[ObjectEntry]
    agents: list[AgentEntry]
    log_file_validation: bool | msgspec.UnsetType = msgspec.UNSET
    """False where the trail had none: no digest lists these objects. Absent otherwise."""


class ObjectSummary(msgspec.Struct, kw_only=True):
    """An object entry without what is long: decoding skips the rest."""

    key: str
    sha256: str
    bytes: int
    events: int
    counted: int
    folder: str
    hour: str
    oldest_event_time: str
    newest_event_time: str
    first_position: int
    last_position: int
    complete: bool
    missing: list[str] = []


class ManifestSummary(msgspec.Struct, kw_only=True):
    """A manifest without positions, derived ids and agents."""

    version: int
    log_id: str
    follows: list[str] = []
    trail: str
    account: str
    region: str
    sequence: int
    previous: Previous | None
    cut: Cut
    complete: bool
    missing: list[str] = []
    events: int
    objects: list[ObjectSummary]
    log_file_validation: bool | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(Manifest)
_summary_decoder = msgspec.json.Decoder(ManifestSummary)


def encode_manifest(manifest: Manifest) -> bytes:
    """The uncompressed bytes; the same for equal manifests."""
    return msgspec.json.encode(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in uncompressed bytes; msgspec.MsgspecError if it is none."""
    return _decoder.decode(data)


def decode_summary(data: bytes) -> ManifestSummary:
    """The same without what is long."""
    return _summary_decoder.decode(data)


def manifest_key(prefix: str, manifest: Manifest, organization: str = "") -> str:
    """Where it lies."""
    unique = unique_name(
        manifest.log_id, manifest.trail, manifest.account, manifest.region,
        "manifest", manifest.cut.position, manifest.sequence,
    )  # fmt: skip
    return object_key(
        prefix, manifest.account, MANIFEST_FOLDER, manifest.region, manifest.cut.delivered_at_ns,
        unique, organization,
    )  # fmt: skip


def as_state(value: Any) -> Any:
    """Plain values of a struct, for a state file."""
    return msgspec.to_builtins(value)
