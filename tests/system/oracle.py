"""Compares what is owed with what is found, and says everything that is wrong at once.

    missing      owed, and not found                     spurious    found, and never written
    duplicates   found more than once                    corrupted   found with other bytes
    misfiled     archived under another account, region or hour than the record's own

It reads what a person can reach: `opentrail lookup`, the archive folder through its manifests,
`opentrail quarantine`, and `opentrail status --recount`, whose two equations it adds up itself.
Those questions are events too: they are told apart by what they are, and counted by `status`.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .archive import Archive, read_archive
from .processes import Installation, wait_for
from .producer import Obligations, Producer, claim_of
from .records import Record

SHOWN = 5


@dataclass(slots=True)
class Findings:
    """What is wrong, one sentence each; empty is what every test wants."""

    problems: list[str] = field(default_factory=list)

    def add(self, what: str, items: Iterable[object]) -> None:
        listed = [str(item) for item in items]
        if listed:
            more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
            self.problems.append(f"{what}: {len(listed)}: {', '.join(listed[:SHOWN])}{more}")


def is_own(line: bytes) -> bool:
    """Whether a record tells of a question to the installation itself."""
    if b"cloudtrail.amazonaws.com" not in line:
        return False
    record = json.loads(line)
    return record["eventSource"] == "cloudtrail.amazonaws.com" and claim_of(line) is None


def without_own(findings: Findings, store: str, found: list[bytes]) -> list[bytes]:
    """What others sent; own events have to be there once as well."""
    own = Counter(json.loads(line)["eventID"] for line in found if is_own(line))
    findings.add(f"{store}: own events doubled", (each for each, n in own.items() if n > 1))
    return [line for line in found if not is_own(line)]


def compare(findings: Findings, store: str, owed: dict[str, Record], found: list[bytes]) -> None:
    """Whether `found` holds each owed record once, byte for byte, and nothing else."""
    counted: Counter[str] = Counter()
    spurious, corrupted = [], []
    for line in found:
        claim = claim_of(line)
        if claim is None or claim not in owed:
            spurious.append(line[:200])
            continue
        counted[claim] += 1
        if line != owed[claim].line:
            corrupted.append(claim)
    findings.add(f"{store}: missing", sorted(set(owed) - set(counted)))
    findings.add(f"{store}: duplicates", (claim for claim, n in counted.items() if n > 1))
    findings.add(f"{store}: spurious", spurious)
    findings.add(f"{store}: corrupted", corrupted)


def compare_places(findings: Findings, owed: dict[str, Record], archive: Archive) -> None:
    """Whether each record lies under its account, its canonical region and its hour."""
    misfiled = []
    for each in archive.records:
        record = owed.get(claim_of(each.line) or "")
        if record is None:
            continue
        hour = datetime.fromtimestamp(record.time_seconds, UTC).strftime("%Y-%m-%dT%H:00:00Z")
        if (each.account, each.region, each.hour) != (record.account, record.region, hour):
            misfiled.append(f"{record.claim} in {each.key}")
    findings.add("archive: misfiled", misfiled)
    findings.add("archive", archive.problems)


def compare_quarantine(
    findings: Findings, owed: Obligations, items: list[dict[str, Any]], *, repeats: bool = False
) -> None:
    """Whether every refused line is there once, with its bytes and a reason that fits.

    `repeats`: what the aggregator refused of an agent's events (it has an ordinal in its batch)
    may be there more than once; what the agent itself refused may not.
    """
    wanted = Counter(each.line for each in owed.refused)
    reasons = {each.line: each.reasons for each in owed.refused}
    got = Counter(each["bytes"] for each in items)
    findings.add("quarantine: missing", (wanted - got).elements())
    once = Counter(
        each["bytes"]
        for each in items
        if not repeats or each["ordinal"] < 0 or each["bytes"] not in wanted
    )
    findings.add("quarantine: spurious", (once - wanted).elements())
    findings.add(
        "quarantine: wrong reason",
        (
            f"{each['reason']} for {each['bytes'][:80]!r}"
            for each in items
            if each["bytes"] in reasons and each["reason"] not in reasons[each["bytes"]]
        ),
    )


def equations(status: dict[str, Any]) -> list[str]:
    """Both sums of `status`, added up here: one sentence for each that is wrong."""
    wrong = []
    shared = status["duplicates"] + status["quarantined"]
    pending = status["pending"]
    sides = (("indexed", "expired", "index"), ("archived", "unselected", "archive"))
    for done, extra, stage in sides:
        for sink, count in status[done].items():
            waiting = pending.get(sink, pending.get(stage))
            total = shared + count + status[extra] + waiting
            if total != status["received"]:
                wrong.append(
                    f"received {status['received']} is not duplicates {status['duplicates']} + "
                    f"quarantined {status['quarantined']} + {done}.{sink} {count} + "
                    f"{extra} {status[extra]} + pending {waiting} = {total}"
                )
    return wrong


def judge(
    installation: Installation,
    producer: Producer,
    *,
    at_least: int,
    repeats: bool = False,
    others: int = 0,
) -> None:
    """Wait until everything is in its stores, then compare all of them with what is owed.

    `repeats`: lines may have been received more than once (an agent that was killed reads again
    what it had not yet noted as read); they are copies, and no event may be there twice.
    `others`: so many were received from a stranger too, so only what is owed is looked at.
    """
    owed = producer.owed
    installation.wait_until_drained(owed.lines + others)
    # A fresh event shows that it still works, not only that it came to rest well.
    fresh = producer.write_one()
    installation.wait_until_found(fresh)
    installation.wait_until_drained(owed.lines + others)

    # Own events of an hour that just ended may have hidden a part that is not delivered yet.
    wait_for("the archive holds all", lambda: _archived(installation) >= set(owed.kept), 60, 1)

    findings = Findings()
    archive = read_archive(installation.home)
    found = without_own(findings, "index", installation.lookup_everything())
    archived = without_own(findings, "archive", [each.line for each in archive.records])
    if others:
        found = [line for line in found if claim_of(line) in owed.kept]
        archived = [line for line in archived if claim_of(line) in owed.kept]
    compare(findings, "index", owed.kept, found)
    compare(findings, "archive", owed.kept, archived)
    compare_places(findings, owed.kept, archive)
    if not others:
        items = installation.quarantine_items()
        compare_quarantine(findings, owed, items, repeats=repeats)
    status = settled_status(installation, owed)
    findings.add("equation", equations(status))
    if not others:
        compare_figures(findings, owed, status, repeats=repeats)
    if len(owed.kept) < at_least or not archive.objects or not archive.manifests:
        findings.problems.append(
            f"vacuous: {len(owed.kept)} kept (at least {at_least} wanted), "
            f"{archive.objects} objects, {archive.manifests} manifests"
        )
    assert not findings.problems, "\n".join(["the oracle found:", *findings.problems])


def _archived(installation: Installation) -> set[str]:
    return {claim_of(each.line) or "" for each in read_archive(installation.home).records}


def settled_status(installation: Installation, owed: Obligations) -> dict[str, Any]:
    """A recount that knows all own events; the figure is a second old at most, so ask again."""
    for _ in range(10):
        status = installation.status(recount=True)
        if kept_of_others(status) == len(owed.kept):
            break
    return status


def kept_of_others(status: dict[str, Any]) -> int:
    """The events that are kept and not about questions to the installation."""
    aside = status["duplicates"] + status["quarantined"] + status["own_events"]
    kept: int = status["received"] - aside
    return kept


def compare_figures(
    findings: Findings, owed: Obligations, status: dict[str, Any], *, repeats: bool
) -> None:
    """Whether `status` counts what was written; with `repeats` it may have come in again."""
    kept = kept_of_others(status)
    lines = owed.lines + status["own_events"]
    wanted = {"received": lines, "duplicates": owed.copies, "quarantined": len(owed.refused)}
    if kept != len(owed.kept):
        findings.problems.append(f"status: {kept} are kept, not {len(owed.kept)}")
    for name, count in wanted.items():
        if status[name] != count and not (repeats and status[name] > count):
            findings.problems.append(f"status: {name} is {status[name]}, not {count}")
