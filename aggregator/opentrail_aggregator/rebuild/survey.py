"""What the manifests of a bucket say together: which logs, which chains, how far each agent is.

Logs are one history if a later one names an earlier one as followed. A bucket with several
histories (a second aggregator, a home that was begun anew beside an old one) is not guessed about.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from opentrail.errors import DamagedError, UsageError
from opentrail.record import parse_time
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.cutter import ChainHead
from opentrail_aggregator.archive.keys import MANIFEST_FOLDER, read_key
from opentrail_aggregator.archive.manifest import Manifest, ManifestSummary
from opentrail_aggregator.wal.lineage import KnownAgent

_SECOND = 1_000_000_000
_LOOK_BACK = 500
"""So many manifests are asked for agents: each names all that speak for its account and region."""


@dataclass(slots=True)
class Survey:
    """One history in a bucket."""

    logs: list[str]
    """Its logs, the newest first."""
    manifests: list[str] = field(default_factory=list)
    """Keys, in order of cutting."""
    others: list[str] = field(default_factory=list)
    """Keys of manifests of other histories; their events are known, and nothing more."""
    chains: dict[str, ChainHead] = field(default_factory=dict)
    kept: int = 0
    """Events in it that count in the sums."""
    last_position: int = 0
    """No frame of its logs that the archive knows of lies behind."""
    archived_until_ns: int = 0
    agents: list[KnownAgent] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    """Log objects that no manifest names: their delivery was cut off."""
    gaps: list[str] = field(default_factory=list)
    """Manifests that are not there or cannot be read."""


def look(
    catalog: Catalog,
    *,
    log_id: str = "",
    removed_before_ns: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Survey | None:
    """The history that `log_id` belongs to, or the only one; None if the bucket holds none."""
    found: dict[str, ManifestSummary] = {}
    objects: set[str] = set()
    unreadable: list[str] = []
    for each in catalog.listed():
        parts = read_key(each.key)
        if parts is not None and parts.folder == MANIFEST_FOLDER:
            try:
                found[each.key] = catalog.summary(each.key)
            except DamagedError as error:
                unreadable.append(str(error))
            progress(len(found))
        else:
            objects.add(each.key)
    if not found:
        return None
    survey = Survey(_choose(found, log_id), gaps=unreadable)
    ours = set(survey.logs)
    order = sorted(
        found, key=lambda key: (found[key].cut.delivered_at_ns, found[key].trail,
                                found[key].sequence)
    )  # fmt: skip
    for key in order:
        summary = found[key]
        objects.difference_update(entry.key for entry in summary.objects)
        if summary.cut.delivered_at_ns < removed_before_ns:
            continue
        if summary.log_id not in ours:
            survey.others.append(key)
            continue
        survey.manifests.append(key)
        survey.kept += sum(entry.counted for entry in summary.objects)
    survey.orphans = sorted(objects)
    mine = {key: each for key, each in found.items() if each.log_id in ours}
    survey.last_position = max(
        max((each.cut.position, *(entry.last_position for entry in each.objects))) >> 16
        for each in mine.values()
    )
    _follow_chains(catalog, mine, survey)
    return survey


def _choose(found: dict[str, ManifestSummary], log_id: str) -> list[str]:
    """The logs of one history, the newest first."""
    newest: dict[str, int] = {}
    follows: dict[str, list[str]] = {}
    events: dict[str, int] = {}
    for each in found.values():
        newest[each.log_id] = max(newest.get(each.log_id, 0), each.cut.delivered_at_ns)
        follows.setdefault(each.log_id, each.follows)
        events[each.log_id] = events.get(each.log_id, 0) + each.events
    followed = {name for names in follows.values() for name in names}
    # A log that nobody follows is the end of its history.
    ends = sorted((name for name in newest if name not in followed), key=lambda name: newest[name])
    if log_id:
        wanted = [name for name in ends if log_id in (name, *follows[name])]
        if not wanted:
            raise UsageError(
                f"--log {log_id}: the archive holds nothing of that log; it has {', '.join(ends)}"
            )
        ends = wanted
    if len(ends) > 1:
        listed = ", ".join(f"{name} ({events[name]:,} events)" for name in ends)
        raise UsageError(
            f"the archive holds the events of {len(ends)} aggregators that know nothing of each "
            f"other: {listed}; name the one to go on with by --log ID"
        )
    return [ends[-1], *follows[ends[-1]]]


def _follow_chains(catalog: Catalog, mine: dict[str, ManifestSummary], survey: Survey) -> None:
    """The heads of all chains, and what the last manifests say of the agents."""
    chains: dict[str, dict[int, str]] = {}
    for key, each in mine.items():
        chains.setdefault(each.trail, {})[each.sequence] = key
    untils: list[int] = []
    agents: dict[tuple[str, str], KnownAgent] = {}
    for trail, chain in sorted(chains.items()):
        last = max(chain)
        whole = next(number for number in range(1, last + 2) if number not in chain) - 1
        if whole < last:
            survey.gaps.append(f"trail {trail}: manifest number {whole + 1} of {last} is not there")
        data = catalog.read(chain[last])
        survey.chains[trail] = ChainHead(last, chain[last], hashlib.sha256(data).hexdigest())
        behind = [chain[number] for number in range(whole + 1, last + 1) if number in chain]
        before = [chain[number] for number in range(whole, max(0, whole - _LOOK_BACK), -1)]
        untils.append(_until_ns(catalog.manifest(before[0])) if before else 0)
        for key in before:
            _note_agents(catalog.manifest(key), agents)
        for key in behind:
            _note_agents(catalog.manifest(key), agents, is_whole=False)
    survey.archived_until_ns = min(untils, default=0)
    survey.agents = [agents[name] for name in sorted(agents)]


def _note_agents(
    manifest: Manifest, agents: dict[tuple[str, str], KnownAgent], *, is_whole: bool = True
) -> None:
    """Take the most that is said of each numbering.

    Behind a manifest that is missing only how far an agent had been heard can be believed.
    """
    for each in manifest.agents:
        known = agents.get((each.agent, each.epoch))
        archived = (each.archived_through or 0) if is_whole else 0
        agents[each.agent, each.epoch] = KnownAgent(
            agent=each.agent,
            epoch=each.epoch,
            archived_through=max(archived, known.archived_through if known else 0),
            consolidated_through=max(
                each.consolidated_through, known.consolidated_through if known else 0
            ),
        )


def _until_ns(manifest: Manifest) -> int:
    if manifest.archived_until is None:
        return 0
    seconds = parse_time(manifest.archived_until)
    if seconds is None:
        raise DamagedError(f"manifest {manifest.sequence} of {manifest.trail}: no time in it")
    return seconds * _SECOND


__all__ = ["Survey", "look"]
