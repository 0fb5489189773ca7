"""What an agent with a valid certificate can say wrongly costs it an answer, and others nothing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from .oracle import judge
from .processes import Installation
from .producer import Producer
from .records import record
from .stranger import Answer, Stranger, batch, bomb

pytestmark = pytest.mark.long
LINES = [record(n, 5, 1_700_000_000).line for n in range(900_000, 900_010)]


def refusal_of(request: Callable[[], Answer]) -> str:
    """How it was refused: by a message of the protocol or by ending the stream."""
    try:
        return request().code
    except grpc.RpcError as error:
        return str(error.code().name)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    each = Installation(tmp_path)
    each.start(Producer(tmp_path / "source", 51).pattern)
    yield each
    each.destroy()


@pytest.fixture
def stranger(installation: Installation) -> Iterator[Stranger]:
    with Stranger(installation.home, installation.grpc) as each:
        yield each


def test_a_batch_is_acknowledged_and_its_repetition_is_passed_over(stranger: Stranger) -> None:
    assert stranger.say_hello().kind == "welcome"
    assert stranger.send(1, batch(LINES[:2])) == Answer("acknowledge", {1: 1})
    assert stranger.send(1, batch(LINES[:2])) == Answer("acknowledge", {1: 1})
    assert stranger.send(2, batch(LINES[2:4])) == Answer("acknowledge", {1: 2})


def test_a_stream_that_comes_back_is_told_what_is_held(
    installation: Installation, stranger: Stranger
) -> None:
    stranger.say_hello()
    stranger.send(1, batch(LINES[:2]))
    with Stranger(installation.home, installation.grpc) as again:
        again.epoch = stranger.epoch
        assert again.say_hello().fields[4] == 1
        assert again.send(1, batch(LINES[:2])) == Answer("acknowledge", {1: 1})


def test_a_gap_is_refused_with_the_number_expected(stranger: Stranger) -> None:
    stranger.say_hello()
    stranger.send(1, batch(LINES[:1]))
    refusal = stranger.send(7, batch(LINES[1:2]))
    assert (refusal.code, refusal.fields[3]) == ("GAP", 2)


def test_a_held_number_with_other_content_is_a_fork(stranger: Stranger) -> None:
    stranger.say_hello()
    stranger.send(1, batch(LINES[:1]))
    assert stranger.send(1, batch(LINES[1:2])).code == "FORK"


def test_a_batch_damaged_on_its_way_is_refused(stranger: Stranger) -> None:
    stranger.say_hello()
    assert stranger.send(1, batch(LINES[:1]), digest=bytes(16)).code == "BAD_CHECKSUM"


def test_bytes_that_are_no_batch_are_refused(stranger: Stranger) -> None:
    stranger.say_hello()
    assert stranger.send(1, os.urandom(5000)).code == "MALFORMED"


def test_another_agents_name_is_refused(installation: Installation) -> None:
    with Stranger(installation.home, installation.grpc, "someone-else") as stranger:
        assert refusal_of(stranger.say_hello) in ("NOT_ALLOWED", "PERMISSION_DENIED")


def test_another_protocol_is_refused(stranger: Stranger) -> None:
    assert stranger.say_hello(protocol=99).code == "BAD_PROTOCOL"


@pytest.mark.parametrize("size", [7 << 20, 64 << 20], ids=["7 MiB", "64 MiB"])
def test_an_oversized_batch_is_refused_and_the_service_lives(
    installation: Installation, stranger: Stranger, size: int
) -> None:
    stranger.say_hello()
    answer = refusal_of(lambda: stranger.send(1, os.urandom(size)))
    assert answer in ("TOO_LARGE", "MALFORMED", "RESOURCE_EXHAUSTED")
    assert installation.get("/health/live")[0] == 200


def test_hostile_batches_end_in_quarantine_and_hold_up_nobody(
    installation: Installation, stranger: Stranger, tmp_path: Path
) -> None:
    """A bomb, a lie about counts, a frame that is no zstd: acknowledged, for the ack path does
    not parse; then set aside with a reason, while the events of others come through."""
    memory_before = max(each.resident_bytes() for each in installation.processes())
    stranger.say_hello()
    hostile = [
        bomb(4 << 30),
        batch(LINES[:3], events=60_000),
        batch(LINES[:3], events_raw=12),
        batch([b"[" * 200_000]),
        batch([b'{"a":' * 50_000]),
        batch([b"\xff\x00" * 900]),
    ]
    answers = [stranger.send(sequence, each) for sequence, each in enumerate(hostile, 1)]
    assert [each.kind for each in answers] == ["acknowledge"] * len(hostile)
    others = installation.status()["received"]
    producer = Producer(tmp_path / "source", 51)
    producer.write(2000, plain=True)
    judge(installation, producer, at_least=1000, others=others)
    status = installation.status()
    assert status["quarantined"] >= 5
    memory_after = max(each.resident_bytes() for each in installation.processes())
    assert memory_after < memory_before + (150 << 20)
