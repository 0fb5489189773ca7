"""The quick look says yes exactly where admission, line by line, would say yes to every line."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from opentrail.record import Admitted, parse_time
from opentrail_agent.capture.batching import TO_BE_DERIVED, Origin, judge
from opentrail_agent.capture.sight import Sight

from .events import ACCOUNT, line, record

ORIGIN = Origin("file:/log", "generation")

_PARTS = st.tuples(
    st.sampled_from(["2026", "0000", "0001", "9999", "202", "20266", "\uff12\uff10\uff12\uff16"]),
    st.sampled_from(["-", "/", ""]),
    st.sampled_from(["01", "02", "11", "12", "13", "00", "1"]),
    st.sampled_from(["-", ""]),
    st.sampled_from(["01", "28", "29", "30", "31", "32", "00"]),
    st.sampled_from(["T", "t", " ", ""]),
    st.sampled_from(["00", "23", "24", "7"]),
    st.sampled_from([":", ""]),
    st.sampled_from(["00", "59", "60", "5"]),
    st.sampled_from([":", ".", ""]),
    st.sampled_from(["00", "59", "60", "61", "0"]),
    st.sampled_from(["", ".1", ".123456789", ".1234567890", "."]),
    st.sampled_from(["Z", "z", "", "+01:00", "-0130", "+99:99", "Z\n"]),
).map("".join)
_TIMES = st.one_of(_PARTS, st.just("2026-11-24T10:00:00Z"), st.text(max_size=24))


@settings(max_examples=600)
@given(st.lists(_TIMES, min_size=1, max_size=4))
@example(["2026-02-29T10:00:00Z"])
@example(["2024-02-29T23:59:60Z", "2024-02-29T23:59:60.5+23:00"])
@example(["2026-11-24T10:00:", "00Z"])
def test_a_time_is_readable_to_the_quick_look_exactly_if_admission_can_read_it(
    times: list[str],
) -> None:
    sight = Sight("", "")
    for _ in range(2):  # The second time what was learnt the first time answers.
        block = b"".join(line(1, eventTime=each) + b"\n" for each in times)
        readable = all(parse_time(each) is not None for each in times)
        assert sight.count(block) == (len(times) if readable else 0)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(""), st.just("\u007f"), st.just("é" * 70),
    st.text(max_size=300), st.just(ACCOUNT), st.just("eu-west-1"), st.just({"accountId": ACCOUNT}),
    st.just({"accountId": 5}), st.just([]), st.just({}),
)  # fmt: skip
_MEMBERS = ("eventTime", "eventID", "awsRegion", "recipientAccountId", "userIdentity", "other")


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 9))
    if kind < 5:
        return line(draw(st.integers(0, 999)))
    if kind < 9:
        changed: dict[str, Any] = draw(
            st.dictionaries(st.sampled_from(_MEMBERS), _SCALARS, max_size=2)
        )
        is_ascii = draw(st.booleans())
        return json.dumps(record(1) | changed, ensure_ascii=is_ascii).encode("utf-8", "replace")
    text = bytearray(line(2))
    at = draw(st.integers(0, len(text)))
    text[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(text)


@settings(max_examples=600)
@given(st.lists(_lines(), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_what_the_quick_look_lets_pass_is_admitted_line_by_line_with_an_id_of_its_own(
    found: list[bytes], end: str
) -> None:
    block = b"".join(each + end.encode() for each in found)
    count = Sight("", "").count(block)
    verdicts = [judge(each, ORIGIN) for each in block.split(b"\n")[:-1]]
    if count:
        assert count == len(verdicts)
    for verdict in verdicts if count else ():
        assert isinstance(verdict, Admitted)
        assert verdict.event_id != TO_BE_DERIVED


def test_a_block_of_plain_records_passes_the_quick_look() -> None:
    assert Sight("", "").count(b"".join(line(number) + b"\n" for number in range(50))) == 50
