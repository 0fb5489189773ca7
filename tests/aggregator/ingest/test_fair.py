"""One agent that floods waits for itself; the others wait for a turn."""

from opentrail_aggregator.ingest.fair import FairQueue


def test_turns_are_taken_however_much_one_has_queued() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for number in range(100):
        queue.put("flood", f"flood-{number}", 10)
    queue.put("quiet", "quiet-0", 10)
    assert queue.take(30) == ["flood-0", "quiet-0", "flood-1"]


def test_what_one_agent_sent_stays_in_order() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for number in range(20):
        queue.put("ab"[number % 2], number, 1)
    taken = [item for _ in range(10) for item in queue.take(2)]
    assert [n for n in taken if n % 2 == 0] == list(range(0, 20, 2))
    assert [n for n in taken if n % 2] == list(range(1, 20, 2))
    assert not queue
    assert queue.bytes == 0


def test_a_group_is_bounded_and_never_empty_while_something_waits() -> None:
    queue: FairQueue[str, int] = FairQueue()
    queue.put("a", 1, 1000)
    queue.put("a", 2, 1)
    assert queue.take(10) == [1]
    assert queue.bytes == 1
    assert queue.clear() == [2]
    assert queue.take(10) == []
