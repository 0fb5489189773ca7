"""What a connection decides, shown without one: messages and times in, actions out."""

import pytest

from opentrail.v1 import ingest_pb2 as pb
from opentrail_agent.ship.session import (
    BACK_MAX,
    Acknowledge,
    Action,
    BeginEpoch,
    Bind,
    HangUp,
    Held,
    Phase,
    Retry,
    Session,
    SetAside,
)

LOG, OTHER = "log-a", "log-b"


def session(
    first: int = 1, acknowledged: int = 0, last: int = 20, log_id: str = LOG, window: int = 8
) -> Session:
    return Session(
        Held(first, acknowledged, last, log_id), window=window, answer_seconds=60, full_seconds=2
    )


def welcome(through: int = 0, log_id: str = LOG, **more: object) -> pb.AggregatorMessage:
    fields = {"protocol": 1, "log_id": log_id, "acknowledged_through": through, **more}
    return pb.AggregatorMessage(welcome=pb.Welcome(**fields))  # type: ignore[arg-type]


def acknowledge(through: int) -> pb.AggregatorMessage:
    return pb.AggregatorMessage(acknowledge=pb.Acknowledge(through=through))


def refusal(code: int, sequence: int = 0, expected: int = 0) -> pb.AggregatorMessage:
    return pb.AggregatorMessage(
        refusal=pb.Refusal(code=code, sequence=sequence, expected=expected)  # type: ignore[arg-type]
    )


def send(subject: Session, count: int, now: float = 0) -> None:
    for _ in range(count):
        assert subject.room(now) > 0
        subject.sent(subject.next_sequence, now)


def flowing(acknowledged: int = 0) -> Session:
    subject = session(acknowledged=acknowledged)
    assert subject.received(welcome(acknowledged), 0) == []
    return subject


def hang_up(actions: list[Action]) -> HangUp:
    assert isinstance(actions[-1], HangUp)
    return actions[-1]


def test_nothing_is_sent_before_the_welcome() -> None:
    assert session().room(0) == 0


def test_the_window_limits_what_is_under_way_and_an_acknowledgement_opens_it() -> None:
    subject = flowing()
    send(subject, 8)
    assert subject.room(0) == 0
    assert subject.received(acknowledge(3), 1) == [Acknowledge(3)]
    assert subject.room(1) == 3


def test_the_aggregator_may_narrow_the_window_but_not_widen_it() -> None:
    narrow, wide = session(), session()
    narrow.received(welcome(window=2), 0)
    wide.received(welcome(window=100), 0)
    assert (narrow.room(0), wide.room(0)) == (2, 8)


def test_a_stale_acknowledgement_changes_nothing() -> None:
    subject = flowing()
    send(subject, 5)
    subject.received(acknowledge(4), 0)
    assert subject.received(acknowledge(2), 0) == []
    assert subject.acknowledged_through == 4


def test_an_acknowledgement_of_what_was_not_sent_counts_only_as_far_as_was_sent() -> None:
    # The aggregator repeats its highest number when one is sent again: a restored disk may hold
    # other batches under the numbers behind it, which have not been compared yet.
    subject = flowing(acknowledged=5)
    send(subject, 1)
    assert subject.received(acknowledge(9), 0) == [Acknowledge(6)]
    assert subject.next_sequence == 7


def test_a_welcome_that_claims_more_than_was_acknowledged_here_is_checked() -> None:
    subject = session(acknowledged=5, last=20)
    assert subject.received(welcome(9), 0) == []
    assert subject.next_sequence == 6


def test_a_welcome_that_claims_more_than_was_ever_numbered_opens_an_epoch() -> None:
    actions = session(acknowledged=5, last=7).received(welcome(9), 0)
    assert isinstance(actions[0], BeginEpoch)
    assert (actions[0].after, actions[0].lost) == (5, 0)
    assert hang_up(actions).retry is Retry.NOW


def test_batches_the_aggregator_lost_are_sent_again_while_they_are_here() -> None:
    subject = session(first=3, acknowledged=9)
    assert subject.received(welcome(4), 0) == []
    assert subject.next_sequence == 5


def test_batches_lost_on_both_sides_are_named_by_an_epoch_that_begins_behind_them() -> None:
    actions = session(first=8, acknowledged=9).received(welcome(4), 0)
    assert actions[0] == BeginEpoch(7, 3, hang_up(actions).reason)


def test_a_log_that_forgot_the_epoch_gets_all_that_is_still_here() -> None:
    subject = session(first=3, acknowledged=9)
    subject.received(welcome(0), 0)
    assert subject.next_sequence == 3


def test_a_new_log_starts_with_what_is_unacknowledged() -> None:
    subject = session(first=3, acknowledged=9, log_id="")
    assert subject.received(welcome(0, OTHER), 0) == [Bind(OTHER, "")]
    assert subject.next_sequence == 10


def test_unacknowledged_batches_go_to_no_other_log() -> None:
    subject = session(acknowledged=5, last=6)
    end = hang_up(subject.received(welcome(0, OTHER), 0))
    assert (end.key, end.retry, subject.room(0)) == ("wrong_log", Retry.LATER, 0)
    assert "rehome" in end.reason


def test_a_log_that_follows_ours_is_ours() -> None:
    subject = session(acknowledged=5, last=6)
    assert subject.received(welcome(5, OTHER, follows=[LOG]), 0) == [Bind(OTHER, LOG)]
    assert subject.phase is Phase.FLOWING


@pytest.mark.parametrize("answer", [welcome(0, OTHER), refusal(pb.Refusal.WRONG_LOG)])
def test_with_nothing_unsent_another_log_is_taken_under_a_new_epoch(
    answer: pb.AggregatorMessage,
) -> None:
    actions = session(acknowledged=6, last=6).received(answer, 0)
    assert isinstance(actions[0], BeginEpoch)
    assert actions[1:] == [Bind("", LOG), hang_up(actions)]
    assert hang_up(actions).retry is Retry.NOW


def test_a_refused_log_keeps_what_is_unsent() -> None:
    actions = session(acknowledged=5, last=6).received(refusal(pb.Refusal.WRONG_LOG), 0)
    assert [type(action) for action in actions] == [HangUp]
    assert hang_up(actions).retry is Retry.LATER


def test_a_fork_numbers_everything_unacknowledged_anew() -> None:
    subject = flowing()
    send(subject, 4)
    subject.received(acknowledge(2), 0)
    actions = subject.received(refusal(pb.Refusal.FORK, 3), 0)
    assert isinstance(actions[0], BeginEpoch)
    assert (actions[0].after, actions[0].lost) == (2, 0)


@pytest.mark.parametrize("code", [pb.Refusal.GAP, pb.Refusal.BAD_CHECKSUM])
def test_a_gap_is_mended_by_going_back_on_the_same_stream(code: int) -> None:
    subject = flowing()
    send(subject, 6)
    assert subject.received(refusal(code, 4, 4), 0) == []
    assert subject.next_sequence == 4


def test_gaps_told_of_what_was_already_under_way_are_one_gap() -> None:
    subject = flowing()
    send(subject, 6)
    for sequence in (2, 3, 4, 5, 6):
        assert subject.received(refusal(pb.Refusal.GAP, sequence, 1), 0) == []
    assert (subject.phase, subject.next_sequence) == (Phase.FLOWING, 1)


def test_going_back_in_vain_ends_the_connection() -> None:
    subject = flowing()
    for _ in range(BACK_MAX):
        send(subject, 1)
        assert subject.received(refusal(pb.Refusal.BAD_CHECKSUM, 1, 1), 0) == []
    send(subject, 1)
    end = hang_up(subject.received(refusal(pb.Refusal.BAD_CHECKSUM, 1, 1), 0))
    assert (end.key, end.retry) == ("bad_checksum", Retry.LATER)


def test_a_gap_below_what_was_acknowledged_is_left_to_the_next_welcome() -> None:
    subject = flowing(acknowledged=5)
    send(subject, 2)
    assert hang_up(subject.received(refusal(pb.Refusal.GAP, 6, 3), 0)).key == "gap"


def test_a_full_log_pauses_the_batches_and_one_asks_again() -> None:
    subject = flowing()
    send(subject, 4)
    assert subject.received(refusal(pb.Refusal.FULL, 1), 10) == []
    assert (subject.phase, subject.room(11), subject.deadline()) == (Phase.PAUSED, 0, 12)
    assert (subject.room(12), subject.next_sequence) == (1, 1)
    send(subject, 1, 12)
    assert subject.room(12) == 0
    subject.received(acknowledge(1), 13)
    assert subject.room(13) == 8


def test_what_was_under_way_when_the_log_became_full_is_no_gap() -> None:
    subject = flowing()
    send(subject, 4)
    subject.received(refusal(pb.Refusal.FULL, 1), 0)
    assert subject.received(refusal(pb.Refusal.GAP, 2, 1), 0) == []
    assert subject.phase is Phase.PAUSED


def test_silence_is_not_waited_for_forever_but_slowness_is() -> None:
    subject = flowing()
    assert subject.overdue(1000) is None  # Nothing is owed.
    send(subject, 3, now=1000)
    subject.received(acknowledge(1), 1059)
    assert subject.overdue(1118) is None  # It moves: each answer starts the wait anew.
    assert hang_up([subject.overdue(1119)]).key == "silent"  # type: ignore[list-item]


def test_nothing_is_overdue_once_all_is_acknowledged() -> None:
    subject = flowing()
    send(subject, 3, now=0)
    subject.received(acknowledge(3), 1)
    assert subject.deadline() is None


@pytest.mark.parametrize(
    "code",
    [pb.Refusal.NOT_ALLOWED, pb.Refusal.BAD_PROTOCOL],
)
def test_what_only_a_person_can_mend_is_tried_again_with_back_off(code: int) -> None:
    subject = flowing()
    send(subject, 1)
    end = hang_up(subject.received(refusal(code, 1), 0))
    assert (end.retry, subject.room(0)) == (Retry.LATER, 0)


@pytest.mark.parametrize("code", [pb.Refusal.TOO_LARGE, pb.Refusal.MALFORMED])
def test_what_is_never_taken_is_set_aside_if_it_is_under_way(code: int) -> None:
    subject = flowing()
    send(subject, 3)
    subject.received(acknowledge(1), 0)
    aside, end = subject.received(refusal(code, 2), 0)
    assert isinstance(aside, SetAside)
    assert aside.sequence == 2
    assert isinstance(end, HangUp)
    assert end.retry is Retry.NOW
    # A number that was not sent, or is acknowledged, is none of ours to give up.
    for sequence in (1, 4):
        other = flowing()
        send(other, 3)
        other.received(acknowledge(1), 0)
        assert hang_up(other.received(refusal(code, sequence), 0)).retry is Retry.LATER


def test_another_protocol_is_refused_by_name() -> None:
    message = pb.AggregatorMessage(welcome=pb.Welcome(protocol=2, log_id=LOG))
    assert hang_up(session().received(message, 0)).key == "protocol"


def test_an_acknowledgement_instead_of_a_welcome_is_not_believed() -> None:
    assert hang_up(session().received(acknowledge(5), 0)).key == "protocol"


def test_a_second_welcome_is_not_believed() -> None:
    assert hang_up(flowing().received(welcome(0), 0)).key == "protocol"


def test_after_the_end_nothing_is_decided() -> None:
    subject = flowing()
    send(subject, 2)
    subject.received(refusal(pb.Refusal.FORK, 1), 0)
    assert subject.received(acknowledge(2), 0) == []
    assert repr(subject) == "<Session ENDED, next 3, acknowledged 0>"
