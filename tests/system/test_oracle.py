"""The judge is judged first: each thing that can be wrong is made wrong, and must be said."""

import hashlib
import json

from tests.system.archive import Archive, ArchivedRecord, chain_problems, split_records
from tests.system.oracle import (
    Findings,
    compare,
    compare_places,
    compare_quarantine,
    equations,
    without_own,
)
from tests.system.producer import Obligations
from tests.system.records import forged, poison, record

NEWEST = 1_700_000_000
OWED = {each.claim: each for each in (record(n, 1, NEWEST) for n in range(50))}
LINES = [each.line for each in OWED.values()]


def found_wrong(lines: list[bytes]) -> str:
    findings = Findings()
    compare(findings, "store", OWED, lines)
    return "; ".join(findings.problems)


def test_a_complete_store_is_found_clean() -> None:
    assert found_wrong(LINES) == ""


def test_a_record_is_the_same_whenever_it_is_made() -> None:
    assert [record(n, 1, NEWEST).line for n in range(50)] == LINES


def test_a_lost_event_is_missing() -> None:
    assert found_wrong(LINES[1:]) == "store: missing: 1: claim-0"


def test_an_event_found_twice_is_a_duplicate() -> None:
    assert found_wrong([*LINES, LINES[3]]) == "store: duplicates: 1: claim-3"


def test_an_event_nobody_wrote_is_spurious() -> None:
    assert "spurious: 1" in found_wrong([*LINES, record(99, 1, NEWEST).line])


def test_a_changed_byte_is_a_corruption() -> None:
    assert found_wrong([*LINES[:-1], LINES[-1] + b" "]) == "store: corrupted: 1: claim-49"


def test_own_events_are_told_apart_and_have_to_be_single() -> None:
    own = json.dumps({
        "eventSource": "cloudtrail.amazonaws.com", "eventID": "e",
        "requestParameters": {"query": "requestParameters.claim:claim-1"},
    }).encode()  # fmt: skip
    findings = Findings()
    assert without_own(findings, "store", [*LINES, own]) == LINES
    assert findings.problems == []
    without_own(findings, "store", [own, own])
    assert findings.problems == ["store: own events doubled: 1: e"]


def test_an_event_in_the_wrong_folder_is_misfiled() -> None:
    findings = Findings()
    right = OWED["claim-1"]
    hour = "2023-11-14T22:00:00Z"
    found = ArchivedRecord(right.line, right.account, "eu-central-9", hour, "key")
    archive = Archive(records=[found])
    compare_places(findings, OWED, archive)
    assert findings.problems == ["archive: misfiled: 1: claim-1 in key"]


def test_quarantine_is_compared_by_bytes_and_by_reason() -> None:
    lines = [poison(n, 1, NEWEST) for n in range(3)]
    items = [{"bytes": each.line, "reason": min(each.reasons)} for each in lines]
    items[0] = items[0] | {"reason": "tuesday"}
    items[1] = items[1] | {"bytes": b"not written"}
    findings = Findings()
    compare_quarantine(findings, Obligations(refused=lines), items)
    assert [each.split(":")[1].strip() for each in findings.problems] == [
        "missing", "spurious", "wrong reason",
    ]  # fmt: skip


def test_what_an_agent_refused_may_not_be_there_twice_though_it_was_read_twice() -> None:
    refused, conflict = poison(0, 1, NEWEST), forged(record(1, 1, NEWEST), 0)
    items = [
        {"bytes": each.line, "reason": min(each.reasons), "ordinal": ordinal}
        for each, ordinal in ((refused, -1), (conflict, 4), (conflict, 0))
    ]
    findings = Findings()
    owed = Obligations(refused=[refused, conflict])
    compare_quarantine(findings, owed, items, repeats=True)
    assert findings.problems == []
    compare_quarantine(findings, owed, [*items, items[0]], repeats=True)
    assert [each.split(":")[1].strip() for each in findings.problems] == ["spurious"]


def test_a_sum_that_is_wrong_names_its_figures() -> None:
    status = {
        "received": 10, "duplicates": 1, "quarantined": 2, "expired": 0, "unselected": 0,
        "indexed": {"index": 7}, "archived": {"archive": 6},
        "pending": {"index": 0, "archive": 0},
    }  # fmt: skip
    assert len(equations(status)) == 1
    assert "archived.archive 6" in equations(status)[0]
    status["pending"] = {"index": 0, "archive": 1}
    assert equations(status) == []


def test_records_are_cut_out_of_an_object_byte_for_byte() -> None:
    assert split_records(b'{"Records":[' + b",".join(LINES) + b"]}") == LINES


def manifest(sequence: int, previous: tuple[str, bytes] | None, first: int) -> bytes:
    content = {
        "trail": "default", "sequence": sequence,
        "previous": previous and {
            "key": previous[0], "sha256": hashlib.sha256(previous[1]).hexdigest(),
        },
        "objects": [{"key": f"object-{sequence}", "events": 2, "positions": [first, 1]}],
    }  # fmt: skip
    return json.dumps(content).encode()


def test_a_broken_chain_of_manifests_is_found() -> None:
    first = manifest(1, None, 100)
    second = manifest(2, ("a", first), 102)
    third = manifest(3, ("b", second), 104)
    assert chain_problems({"a": first, "b": second, "c": third}) == []
    assert "gaps" in chain_problems({"a": first, "c": third})[0]
    changed = second.replace(b"object-2", b"object-9")
    assert "names" in chain_problems({"a": first, "b": changed, "c": third})[0]
    doubled = manifest(3, ("b", second), 103)
    assert "another holds" in chain_problems({"a": first, "b": second, "c": doubled})[0]
