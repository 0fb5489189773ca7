"""What a manifest says of each agent is never too much, however few marks are kept."""

import random

from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.marks import MARKS_MAX, Marks
from opentrail_aggregator.archive.parts import OpenPart
from opentrail_aggregator.archive.seals import choose_oldest

from .rig import ACCOUNT, REGION


def test_a_number_is_never_beyond_the_position_and_the_last_one_is_exact() -> None:
    draw = random.Random(7)
    marks = Marks()
    lies_at = {}
    position = sequence = forgotten = 0
    for _ in range(3000):
        position += draw.randrange(1, 5)
        sequence += 1
        lies_at[sequence] = position
        marks.note_batch("a", "e", position, sequence)
        marks.note(position, position * 10)
        if draw.random() < 0.02:
            forgotten = max(forgotten, position - draw.randrange(200))
            marks.forget_before(forgotten)
    assert marks.number("a", "e", position) == sequence
    assert marks.time_ns(position) == position * 10
    for asked in range(forgotten, position + 1):
        known = marks.number("a", "e", asked)
        assert known == 0 or lies_at[known] <= asked
        assert marks.time_ns(asked) <= asked * 10
    # What is asked for last holds exactly enough to be of use: not further off than a few marks.
    assert marks.number("a", "e", forgotten) > 0


def test_marks_stay_few_and_come_back_as_they_were() -> None:
    marks = Marks()
    for number in range(1, 10_000):
        marks.note_batch("a", "e", number, number)
    state = marks.state()
    assert len(state["numbers"]["e:a"]) <= MARKS_MAX
    again = Marks()
    again.restore(state)
    assert again.number("a", "e", 5_000) == marks.number("a", "e", 5_000) > 0
    assert again.number("b", "e", 5_000) == 0


def part(number: int, first: int) -> OpenPart:
    found = OpenPart(number, PartKey("arn", ACCOUNT, REGION, number, "CloudTrail"))
    found.events, found.first, found.raw_bytes = 1, first, 10
    return found


def test_a_small_old_part_is_cut_when_it_holds_back_too_much_of_the_log() -> None:
    parts = [part(1, 1 << 16), part(2, 900 << 16), part(3, 600 << 16)]
    through = 1000 << 16
    assert choose_oldest(parts, through, held_bytes=100, limit_bytes=100) == []
    assert choose_oldest(parts, through, held_bytes=101, limit_bytes=100) == parts[:1]
    assert choose_oldest(parts, through, held_bytes=400, limit_bytes=100) == [parts[0], parts[2]]
    parts[0].asked = True
    assert choose_oldest(parts, through, held_bytes=101, limit_bytes=100) == []
