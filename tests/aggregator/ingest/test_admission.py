"""The rules of the numbers, one by one; no stream, no log, no clock."""

import pytest

from opentrail.batch import digest_of
from opentrail.limits import BATCH_MAX_BYTES
from opentrail.v1.ingest_pb2 import Hello
from opentrail_aggregator.ingest.admission import (
    AcknowledgeAgain,
    Append,
    Code,
    Lane,
    PassOver,
    Refuse,
    Wait,
    check_hello,
    inspect_batch,
    is_agent_name,
    missing_numbers,
)
from opentrail_aggregator.ingest.settings import Grant

from .agents import payload

A, B = bytes([1]) * 16, bytes([2]) * 16
GRANTS = [Grant(agent="web-*"), Grant(agent="db-*", accounts=("111111111111",))]


def lane(durable: int = 0, held: dict[int, bytes] | None = None) -> Lane:
    return Lane("web-1", "ab" * 16, durable, durable == 0, (held or {}).get)


def refused(decision: object) -> tuple[str, int, int]:
    assert isinstance(decision, Refuse), decision
    return decision.name, decision.sequence, decision.expected


def test_the_next_number_is_taken() -> None:
    each = lane(durable=4)
    assert each.admit(5, A) == Append(5)
    each.took(5, A)
    assert each.admit(6, A) == Append(6)


def test_a_gap_is_refused_with_the_number_expected() -> None:
    each = lane(durable=4)
    each.took(5, A)
    assert refused(each.admit(8, A)) == ("GAP", 8, 6)


def test_after_a_gap_what_was_sent_behind_it_is_passed_over_until_the_expected_comes() -> None:
    each = lane(durable=4)
    assert refused(each.admit(7, A)) == ("GAP", 7, 5)
    assert each.admit(8, A) == PassOver()
    assert each.admit(9, A) == PassOver()
    assert each.admit(5, A) == Append(5)
    each.took(5, A)
    assert refused(each.admit(8, A)) == ("GAP", 8, 6)


def test_a_held_number_with_the_same_digest_is_acknowledged_again() -> None:
    assert lane(4, {3: A}).admit(3, A) == AcknowledgeAgain(4)


def test_a_held_number_with_another_digest_is_a_fork() -> None:
    assert refused(lane(4, {3: A}).admit(3, B)) == ("FORK", 3, 5)


def test_a_held_number_whose_digest_is_forgotten_is_a_fork_too() -> None:
    assert refused(lane(4, {}).admit(3, A)) == ("FORK", 3, 5)


def test_a_number_on_its_way_is_neither_written_twice_nor_acknowledged_early() -> None:
    each = lane(durable=4)
    each.took(5, A)
    assert each.admit(5, A) == Wait()
    assert refused(each.admit(5, B)) == ("FORK", 5, 6)


def test_a_new_epoch_may_begin_anywhere_and_then_goes_on_without_gaps() -> None:
    each = lane()
    assert each.admit(17, A) == Append(17)
    each.took(17, A)
    assert refused(each.admit(19, A)) == ("GAP", 19, 18)
    assert refused(each.admit(3, A)) == ("FORK", 3, 18)


def test_a_new_epoch_whose_first_batch_found_no_room_goes_on_with_that_one() -> None:
    each = lane()
    assert refused(each.refuse(Code.FULL, 17, "full")) == ("FULL", 17, 17)
    assert each.admit(18, A) == PassOver()
    assert each.admit(17, A) == Append(17)


def test_when_the_log_fails_everything_on_its_way_has_to_come_again() -> None:
    each = lane(durable=4)
    for sequence in (5, 6, 7):
        each.took(sequence, A)
    assert each.failed() == 5
    assert each.failed() == 0
    assert refused(each.refuse(Code.FULL, 5, "failed")) == ("FULL", 5, 5)
    assert each.admit(8, A) == PassOver()
    assert each.admit(5, B) == Append(5), "nothing of it was written"


def test_durable_numbers_leave_what_is_on_its_way() -> None:
    each = lane(durable=4)
    each.took(5, A)
    each.took(6, B)
    each.became_durable(5)
    assert (each.durable, each.taken, list(each.on_way)) == (5, 6, [6])


def test_a_batch_is_inspected_without_being_read() -> None:
    body = payload(events=3)
    head = inspect_batch(1, digest_of(body), body)
    assert not isinstance(head, Refuse)
    assert head.events == 3


@pytest.mark.parametrize(
    ("sequence", "body", "digest", "code"),
    [
        (0, payload(), None, "BAD_PROTOCOL"),
        (2**63, payload(), None, "BAD_PROTOCOL"),
        (1, bytes(BATCH_MAX_BYTES + 1), None, "TOO_LARGE"),
        (1, payload(), bytes(16), "BAD_CHECKSUM"),
        (1, payload(), b"short", "BAD_CHECKSUM"),
        (1, b"", None, "MALFORMED"),
        (1, b"\0" * 4096, None, "MALFORMED"),
        (1, payload()[:-1], None, "MALFORMED"),
        (1, payload() + b"x", None, "MALFORMED"),
    ],
)
def test_what_is_no_batch_is_refused_by_name(
    sequence: int, body: bytes, digest: bytes | None, code: str
) -> None:
    found = inspect_batch(sequence, digest_of(body) if digest is None else digest, body)
    assert refused(found)[0] == code


def hello(**changes: object) -> Hello:
    fields: dict[str, object] = {
        "protocol": 1, "agent": "web-1", "epoch": A, "next_sequence": 1,
    }  # fmt: skip
    return Hello(**(fields | changes))  # type: ignore[arg-type]


def test_an_agent_with_its_own_certificate_and_a_grant_is_let_in() -> None:
    assert check_hello(hello(), ["web-1"], ["log"], GRANTS) == GRANTS[0]


@pytest.mark.parametrize(
    ("changes", "certified", "code"),
    [
        ({"protocol": 2}, ["web-1"], "BAD_PROTOCOL"),
        ({"agent": "web-2"}, ["web-1"], "NOT_ALLOWED"),
        ({}, [], "NOT_ALLOWED"),
        ({"agent": "../x"}, ["../x"], "NOT_ALLOWED"),
        ({"agent": "opentrail/replay"}, ["opentrail/replay"], "NOT_ALLOWED"),
        ({"agent": "mail-1"}, ["mail-1"], "NOT_ALLOWED"),
        ({"epoch": b"short"}, ["web-1"], "BAD_PROTOCOL"),
        ({"epoch": bytes(16)}, ["web-1"], "BAD_PROTOCOL"),
        ({"next_sequence": 0}, ["web-1"], "BAD_PROTOCOL"),
        ({"bound_log_id": "another"}, ["web-1"], "WRONG_LOG"),
    ],
)
def test_a_hello_that_is_not_right_is_refused_by_name(
    changes: dict[str, object], certified: list[str], code: str
) -> None:
    assert refused(check_hello(hello(**changes), certified, ["log"], GRANTS))[0] == code


def test_an_agent_bound_to_this_log_is_at_home() -> None:
    assert not isinstance(
        check_hello(hello(bound_log_id="log"), ["web-1"], ["log"], GRANTS), Refuse
    )


def test_numbers_that_this_log_acknowledged_and_lost_are_reported() -> None:
    lost = missing_numbers(hello(next_sequence=9, bound_log_id="log"), "log", True, 5)
    assert "batches 6 to 8" in lost
    assert not missing_numbers(hello(next_sequence=6, bound_log_id="log"), "log", True, 5)
    assert not missing_numbers(hello(next_sequence=9), "log", False, 0), (
        "a new epoch may begin at 9"
    )


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "ä", "x" * 129, "a\n"])
def test_names_that_could_do_harm_are_no_names(name: str) -> None:
    assert not is_agent_name(name)
