"""Whether the archive is whole: the chain of manifests itself, every object, and nothing besides.

    chain      numbers 1, 2, 3 ... of each trail (and log, where a bucket has seen several); each
               names its predecessor and its checksum
    objects    each named object is there and its content is what the manifest says
    besides    no log object that no manifest names (a delivery under way excepted)
    head       the newest manifest is the one that staging remembers, outside the bucket
    agents     their batches came into the log without a gap and without a step back

Streams: one object in memory at a time.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.contents import (
    MISSING,
    Content,
    Contents,
    Findings,
    OneByOne,
)
from opentrail_aggregator.archive.deliveries import DeliveryFolder
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.keys import MANIFEST_FOLDER, object_key, read_key
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.manifest import (
    Manifest,
    ObjectEntry,
    decode_manifest,
    manifest_key,
)
from opentrail_aggregator.archive.numberings import Numberings
from opentrail_aggregator.archive.roots import roots_of
from opentrail_aggregator.archive.staging.slices import undeltas
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.archive.vouched import Head, Link, remembered_heads, vouched_for
from opentrail_aggregator.home import Home


@dataclass(slots=True)
class Verification:
    """What was looked at and what is wrong."""

    manifests: int = 0
    objects: int = 0
    events: int = 0
    removed: int = 0
    """Objects that retention removed; their manifests were checked."""
    unvalidated: dict[str, str] = field(default_factory=dict)
    """Object -> its trail, where a manifest that HOME vouches for says that the trail had no log
    file validation."""
    problems: list[str] = field(default_factory=list)


def verify_manifests(
    home: Home,
    destination: Destination,
    prefix: str = "",
    *,
    progress: Callable[[str], None] | None = None,
    files: Files = DISK,
    read: Mapping[str, tuple[str, int]] | None = None,
    more_heads: Callable[[], Iterable[Head]] = tuple,
    contents: Contents | None = None,
) -> Verification:
    """Check everything; `progress` is told each key. What is in `read` (checksum and number of
    records) is not read again.

    `more_heads` are manifests that are remembered elsewhere than in staging."""
    known = read or {}
    catalog = Catalog(destination, prefix, lambda: roots_of(home, prefix, files))
    result = Verification()
    found = Findings(contents or OneByOne(destination), result.problems)
    current = read_current(home.staging, files)
    under_way = set()
    for delivery in DeliveryFolder(home.staging, files).read_all():
        under_way |= {each.key for each in (*delivery.objects, delivery.manifest)}
    removed_before = read_ledger(home, destination.bucket, files).before_ns
    remembered = {*more_heads(), *remembered_heads(home, files)}
    present = {each.key for each in catalog.listed()}
    # Once more: an aggregator may be working. Staging first, what it lets go of is in the others.
    remembered |= {*remembered_heads(home, files), *more_heads()}
    numberings = Numberings()
    links: dict[str, Link] = {}
    unvalidated: dict[str, dict[str, str]] = {}
    named: set[str] = set()
    heads: dict[tuple[str, str], tuple[str, str]] = {}
    log_id = current.log_id if current else ""
    expected = dict(current.state.get("chains", {})) if current else {}
    for key, manifest, sha256 in _in_order(catalog, present, found):
        if progress:
            progress(key)
        _check_link(key, manifest, heads, found)
        heads[manifest.log_id, manifest.trail] = (key, sha256)
        head = expected.get(manifest.trail) if manifest.log_id == log_id else None
        if head and head["sequence"] == manifest.sequence:
            del expected[manifest.trail]
            if (head["key"], head["sha256"]) != (key, sha256):
                found.say(f"{key}: is not the manifest that staging remembers")
        result.manifests += 1
        found.say(*_own_faults(key, manifest), *numberings.take(key, manifest))
        named |= {entry.key for entry in manifest.objects}
        links[key] = Link(sha256, manifest.previous)
        if manifest.log_file_validation is False:
            unvalidated[key] = {entry.key: manifest.trail for entry in manifest.objects}
        if manifest.cut.delivered_at_ns < removed_before:
            result.removed += len(manifest.objects)
            continue
        for entry in manifest.objects:
            if progress:
                progress(entry.key)
            result.objects += 1
            result.events += entry.events
            if known.get(entry.key) == (entry.sha256, entry.events):
                continue
            if entry.key in present:
                found.look(entry.key, partial(_content_fault, entry))
            else:
                found.say(f"{entry.key}: {MISSING}")
    found.settle()
    for key in vouched_for(links, remembered) & unvalidated.keys():
        result.unvalidated |= unvalidated[key]
    for key in sorted(present - named - under_way):
        parts = read_key(key)
        if parts is not None and parts.folder != MANIFEST_FOLDER:
            result.problems.append(f"{key}: no manifest names this object")
    for arn, head in expected.items():
        if head["key"] and head["key"] not in under_way:
            result.problems.append(
                f"{head['key']}: the newest manifest of trail {arn}, number {head['sequence']}, "
                f"is missing; the last one found is {heads.get((log_id, arn), ('none',))[0]}"
            )
    return result


def _in_order(
    catalog: Catalog, present: set[str], found: Findings
) -> Iterator[tuple[str, Manifest, str]]:
    """Manifests by trail and number; those that cannot be read are named as problems."""
    order: list[tuple[str, int, str, str]] = []
    for key in present:
        parts = read_key(key)
        if parts is None or parts.folder != MANIFEST_FOLDER:
            continue
        try:
            summary = catalog.summary(key)
        except DamagedError as error:
            found.say(str(error))
            continue
        order.append((summary.trail, summary.sequence, summary.log_id, key))
    for _, _, _, key in sorted(order):
        data = catalog.read(key)
        yield key, decode_manifest(data), hashlib.sha256(data).hexdigest()


def _content_fault(entry: ObjectEntry, content: Content) -> str:
    """What is wrong with an object; empty if nothing is."""
    if content.sha256 and content.sha256 != entry.sha256:
        return f"{entry.key}: its content is not what its manifest says (sha256)"
    if content.fault:
        return f"{entry.key}: {content.fault}"
    if content.events != entry.events:
        return f"{entry.key}: {content.events} records, its manifest says {entry.events}"
    return ""


def _check_link(
    key: str,
    manifest: Manifest,
    heads: dict[tuple[str, str], tuple[str, str]],
    found: Findings,
) -> None:
    before = heads.get((manifest.log_id, manifest.trail))
    for log_id in manifest.follows if before is None else ():
        # The first manifest of a log that was begun over an archive goes on with its chain.
        before = before or heads.get((log_id, manifest.trail))
    named = (manifest.previous.key, manifest.previous.sha256) if manifest.previous else None
    if before is None and named is None and manifest.sequence == 1:
        return
    if before == named:
        return
    if named is None:
        found.say(f"{key}: number {manifest.sequence} begins the chain anew")
    elif before is None or before[0] != named[0]:
        found.say(f"{named[0]}: the manifest before {key} is missing")
    else:
        found.say(f"{before[0]}: was changed: {key} names another checksum of it")


def _own_faults(key: str, manifest: Manifest) -> Iterator[str]:
    """Where a manifest contradicts itself."""
    own = read_key(key)
    assert own is not None
    before, _, organization = own.root.rpartition("AWSLogs")
    prefix, organization = before.rstrip("/"), organization.lstrip("/")
    if key != manifest_key(prefix, manifest, organization):
        yield f"{key}: lies under a name that its content does not give"
    if manifest.events != sum(entry.events for entry in manifest.objects):
        yield f"{key}: its sum of events is wrong"
    for entry in manifest.objects:
        positions = undeltas(entry.positions).tolist()
        if (
            len(positions) != entry.events
            or positions[:1] != [entry.first_position]
            or positions[-1:] != [entry.last_position]
            or positions != sorted(set(positions))
        ):
            yield f"{key}: the positions of {entry.key} contradict its counts"
        parts = read_key(entry.key)
        expected = None if parts is None else object_key(
            prefix, manifest.account, entry.folder, manifest.region,
            manifest.cut.delivered_at_ns, parts.unique, organization,
        )  # fmt: skip
        if entry.key != expected:
            yield f"{key}: names {entry.key}, which is not a name of its own cut"
