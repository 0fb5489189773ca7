"""One agent that floods waits for itself; the others wait for a turn."""

from hypothesis import given
from hypothesis import strategies as st

from opentrail_aggregator.ingest.fair import FairQueue


def test_turns_are_taken_however_much_one_has_queued() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for number in range(100):
        queue.put("flood", f"flood-{number}", 10)
    queue.put("quiet", "quiet-0", 10)
    assert queue.take(30, 30) == ["flood-0", "quiet-0", "flood-1"]


def test_turns_count_bytes_and_not_batches() -> None:
    queue: FairQueue[str, str] = FairQueue()
    for number in range(10):
        queue.put("large", f"large-{number}", 100)
        queue.put("small", f"small-{number}", 25)
    taken = queue.take(400, 400)
    assert [each for each in taken if "small" in each] == [f"small-{n}" for n in range(8)]
    assert [each for each in taken if "large" in each] == ["large-0", "large-1"]


def test_of_one_agent_no_more_than_its_share_is_taken_though_nobody_else_waits() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for number in range(10):
        queue.put("flood", number, 10)
    queue.put("flood", 10, 1000)
    queue.put("flood", 11, 1)
    assert [queue.take(1000, 50) for _ in range(4)] == [[*range(5)], [*range(5, 10)], [10], [11]]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 40), st.booleans()), max_size=150
    ),
    st.integers(1, 60),
)  # fmt: skip
def test_who_comes_new_is_behind_at_most_one_item_of_each_other_whatever_they_queued(
    before: list[tuple[int, int, bool]], share: int
) -> None:
    queue: FairQueue[str, str] = FairQueue()
    for key, size, is_taken in before:
        queue.put(f"busy-{key}", f"busy-{key}", size)
        if is_taken:
            queue.take(70, share)
    queue.put("new", "new", 1)
    waiting = {f"busy-{key}" for key in range(6) if queue.waiting(f"busy-{key}")}
    taken = queue.take(6 * 40 + 1, share)
    ahead = taken[: taken.index("new")]
    assert len(ahead) == len(set(ahead)) <= len(waiting)


def test_what_one_agent_sent_stays_in_order() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for number in range(20):
        queue.put("ab"[number % 2], number, 1)
    taken = [item for _ in range(10) for item in queue.take(2, 2)]
    assert [n for n in taken if n % 2 == 0] == list(range(0, 20, 2))
    assert [n for n in taken if n % 2] == list(range(1, 20, 2))
    assert not queue
    assert queue.bytes == 0


def test_a_group_is_bounded_and_never_empty_while_something_waits() -> None:
    queue: FairQueue[str, int] = FairQueue()
    queue.put("a", 1, 1000)
    queue.put("a", 2, 1)
    assert queue.take(10, 10) == [1]
    assert queue.bytes == 1
    assert queue.clear() == [2]
    assert queue.take(10, 10) == []
