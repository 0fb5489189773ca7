"""Any layout of JSON comes out as the same values, however the stream was cut into chunks."""

import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.limits import EVENT_MAX_BYTES
from opentrail_agent.capture.pieces import Block, Fragment, Piece, Value
from opentrail_agent.capture.sight import Sight
from opentrail_agent.capture.splitter import Place, Splitter

from .events import chunks, line, lines, record, records_file

TORN = line(9)[:120]  # within a string
PRETTY = [json.dumps(record(number), indent=2).encode() for number in range(5)]


def numbers_of(pieces: Iterable[Piece]) -> list[int | bytes]:
    """The number of each record; of a fragment, or of a value that is none, its first bytes."""
    found: list[int | bytes] = []
    for piece in pieces:
        if isinstance(piece, Fragment):
            found.append(piece.head[:20])
            continue
        for text in piece.data.splitlines() if isinstance(piece, Block) else [piece.line]:
            try:
                found.append(int(json.loads(text)["eventID"][-12:]))
            except (ValueError, TypeError, KeyError):
                found.append(text[:20])
    return found


def split(
    data: bytes | list[bytes], *, quick: bool = True, value_max_bytes: int = EVENT_MAX_BYTES
) -> list[Piece]:
    count = Sight("", "").count if quick else None
    splitter = Splitter(count_events=count, value_max_bytes=value_max_bytes)
    pieces: list[Piece] = []
    for chunk in [data] if isinstance(data, bytes) else data:
        splitter.feed(chunk)
        pieces += splitter.pieces()
    return pieces + list(splitter.pieces(final=True))


def flat(pieces: Iterable[Piece]) -> list[tuple[object, ...]]:
    """Pieces without the difference between a block and the values it is made of."""
    rows: list[tuple[object, ...]] = []
    for piece in pieces:
        if isinstance(piece, Block):
            rows += [(text,) for text in piece.data.splitlines()]
        elif isinstance(piece, Value):
            rows.append((piece.line,))
        else:
            rows.append((piece.offset, piece.length, piece.head, piece.sha256, piece.reason))
    return rows


LAYOUTS: dict[str, tuple[bytes, list[int | bytes]]] = {
    "lines": (lines(1, 2, 3), [1, 2, 3]),
    "no final newline": (lines(1, 2) + line(3), [1, 2, 3]),
    "CRLF and blank lines": (lines(1, 2, 3).replace(b"\n", b"\r\n\r\n"), [1, 2, 3]),
    "byte order mark": (b"\xef\xbb\xbf" + lines(1), [1]),
    "Records on one line": (records_file(1, 2, 3), [1, 2, 3]),
    "Records, indented": (records_file(1, 2, 3, indent=2), [1, 2, 3]),
    "Records, line breaks without indentation": (records_file(1, 2, 3, indent=0), [1, 2, 3]),
    "Records, one after the other": (records_file(1, 2) + b"\n" + records_file(3), [1, 2, 3]),
    "Records, glued": (records_file(1, 2) + records_file(3), [1, 2, 3]),
    "empty Records": (b'{"Records": []}\n' + lines(1), [1]),
    "array": (b"[" + line(1) + b"," + line(2) + b"]", [1, 2]),
    "array, one element a line": (b"[\n" + line(1) + b",\n" + line(2) + b"\n]\n", [1, 2]),
    "array, indented": (json.dumps([record(1), record(2)], indent=4).encode(), [1, 2]),
    "one object, indented": (PRETTY[1], [1]),
    "objects, indented": (b"\n".join(PRETTY[1:4]), [1, 2, 3]),
    "objects, glued": (line(1) + line(2) + b" " + line(3) + b"\n", [1, 2, 3]),
    "all at once": (
        lines(1) + records_file(2, 3) + b"\n" + PRETTY[4] + b"\n[" + line(5) + b"]\n" + lines(6),
        [1, 2, 3, 4, 5, 6],
    ),
}
BROKEN: dict[str, tuple[bytes, list[int | bytes]]] = {
    "a torn line": (lines(1) + TORN + b"\n" + lines(2, 3), [1, TORN[:20], 2, 3]),
    "a line torn after a colon": (lines(1) + b'{"a":\n' + lines(2, 3), [1, b'{"a":', 2, 3]),
    "a line torn after a comma": (lines(1) + b'{"a":1,\n' + lines(2, 3), [1, b'{"a":1,', 2, 3]),
    "a line torn in a list": (lines(1) + b'{"a":[\n' + lines(2, 3), [1, b'{"a":[', 2, 3]),
    "a line torn before an indented object": (
        b'{"a":1,\n' + PRETTY[2] + b"\n" + lines(3), [b'{"a":1,', 2, 3],
    ),
    "an indented object torn before another": (
        PRETTY[1][:200] + b"\n" + PRETTY[2] + b"\n" + lines(3), [PRETTY[1][:20], 2, 3],
    ),
    "an indented object torn before lines": (
        PRETTY[1][: PRETTY[1].index(b"awsRegion") - 1] + b"\n" + lines(2, 3),
        [PRETTY[1][:20], 2, 3],
    ),
    "an element that is no JSON": (
        records_file(1, 2, 3).replace(b'"GetObject"', b"GetObject", 1), [line(1)[:20], 2, 3],
    ),
    "an element torn on one line": (
        b'{"Records":[' + line(1) + b"," + TORN + b"," + line(3) + b"," + line(4) + b"]}\n"
        + lines(5),
        [1, TORN[:20], 3, 4, 5],
    ),
    "an element torn, one a line": (
        b'{"Records":[\n' + line(1) + b",\n" + TORN + b"\n" + line(3) + b",\n" + line(4) + b"\n]}\n"
        + lines(5),
        [1, TORN[:20], 3, 4, 5],
    ),
    "a Records file cut off before lines": (
        records_file(1, 2, 3)[:-200] + b"\n" + lines(5, 6, 7), [1, 2, line(3)[:20], 5, 6, 7],
    ),
    "text": (
        b"hello\n12\n" + lines(1) + b"[1,2,3]\n" + lines(2), [b"hello", b"12", 1, b"1,2,3", 2],
    ),
    "NUL bytes before a record": (b"\0" * 30 + lines(1, 2), [b"\0" * 20, 1, 2]),
    "a NUL byte in a record": (
        lines(1) + line(2).replace(b"Get", b"G\0t") + b"\n" + lines(3), [1, line(2)[:20], 3],
    ),
    "members beside Records": (
        records_file(1, 2)[:-1] + b',"more":[{}]}\n' + lines(3), [1, 2, b',"more":[{}]}', 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_comes_out_as_its_records(name: str) -> None:
    data, expected = LAYOUTS[name]
    pieces = split(data)
    assert numbers_of(pieces) == expected
    assert not [piece for piece in pieces if isinstance(piece, Fragment)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_value_costs_itself_only(name: str) -> None:
    data, expected = BROKEN[name]
    assert numbers_of(split(data)) == expected


@pytest.mark.parametrize("name", LAYOUTS | BROKEN)
@pytest.mark.parametrize("largest", [1, 3, 60, 400])
def test_chunks_make_no_difference(name: str, largest: int) -> None:
    data, _ = (LAYOUTS | BROKEN)[name]
    whole = flat(split(data))
    for seed in range(3):
        assert flat(split(chunks(data, seed, largest))) == whole
        assert flat(split(chunks(data, seed, largest), quick=False)) == whole


@pytest.mark.parametrize("name", LAYOUTS | BROKEN)
def test_reading_can_begin_anew_after_every_piece(name: str) -> None:
    data, _ = (LAYOUTS | BROKEN)[name]
    splitter = Splitter()
    splitter.feed(data)
    pieces: list[Piece] = []
    places: list[Place] = []
    for piece in splitter.pieces(final=True):
        pieces.append(piece)
        places.append(splitter.place)
    for count, place in enumerate(places, 1):
        again = Splitter(place)
        again.feed(data[place.offset :])
        assert flat(again.pieces(final=True)) == flat(pieces)[count:]


def test_a_value_keeps_its_bytes_but_for_line_breaks_between_tokens() -> None:
    odd = (
        b'{"eventTime" :\t"2026-11-24T10:00:00Z",\r\n\n  "n": 1.50e+03, "n": "\\u00e9\\n", "x":[ ]}'
    )
    (piece,) = split(odd + b"\n")
    assert isinstance(piece, Value)
    assert piece.line == odd.replace(b"\r\n\n", b"   ")


def test_offsets_say_where_a_value_lies() -> None:
    data = b"  \n" + PRETTY[1] + b"\n[ " + line(2) + b" , " + line(3) + b"]\njunk\n"
    for piece in split(data, quick=False):
        held = piece.head if isinstance(piece, Fragment) else piece.data
        assert data[piece.offset : piece.end] == held


def test_an_object_within_a_record_is_never_taken_for_a_record() -> None:
    inner = record(666)
    outer = record(1, requestParameters={"list": [inner, inner], "one": inner})
    for indent in (None, 0, 1, 4):
        assert numbers_of(split(json.dumps(outer, indent=indent).encode() + b"\n")) == [1]
    # A printer that puts short objects on one line each.
    text = json.dumps(record(1, requestParameters="@"), indent=2)
    rows = ",\n".join("      " + json.dumps(inner) for _ in range(2))
    wide = text.replace('"@"', '{\n    "list": [\n' + rows + "\n    ]\n  }")
    assert json.loads(wide)
    assert numbers_of(split(wide.encode() + b"\n")) == [1]


def test_a_line_of_several_values_never_hides_in_a_block() -> None:
    data = line(1) + line(2) + b"\n" + PRETTY[3].replace(b"\n", b" ", 1) + b"\n"
    pieces = split(data)
    assert numbers_of(pieces) == [1, 2, 3]
    assert not [piece for piece in pieces if isinstance(piece, Block)]


@pytest.mark.parametrize("chunk", [1000, 70_000, 10**9])
def test_a_value_too_large_for_an_event_is_hashed_not_kept(chunk: int) -> None:
    large = b'{"eventTime":"x","fill":"' + b"a" * 300_000 + b'"}'
    data = lines(1) + large + b"\n" + lines(2)
    splitter = Splitter(value_max_bytes=100_000)
    pieces: list[Piece] = []
    most = 0
    for at in range(0, len(data), chunk):
        splitter.feed(data[at : at + chunk])
        pieces += splitter.pieces()
        most = max(most, splitter.held_bytes)
    pieces += splitter.pieces(final=True)
    assert numbers_of(pieces) == [1, large[:20], 2]
    (fragment,) = (piece for piece in pieces if isinstance(piece, Fragment))
    assert (fragment.reason, fragment.length) == ("too_large", len(large))
    assert fragment.head == large[: 64 * 1024]
    assert flat([fragment]) == flat(split(data, value_max_bytes=100_000))[1:2]
    assert most <= 100_000 + chunk


@pytest.mark.parametrize("junk", [b"x", b"\0", b'{"a":"', b"[[", b"{", b'\\"'])
def test_junk_without_an_end_takes_constant_memory(junk: bytes) -> None:
    splitter = Splitter(value_max_bytes=10_000)
    found: list[Piece] = []
    for _ in range(200):
        splitter.feed(junk * (2_000 // len(junk)))
        found += splitter.pieces()
        assert splitter.held_bytes <= 20_000
    splitter.feed(b"\n" + lines(1))
    found += list(splitter.pieces(final=True))
    assert numbers_of(found)[-1] == 1


def test_a_broken_element_does_not_swallow_a_file_on_one_line() -> None:
    many = b",".join(line(number) for number in range(100))
    data = b'{"Records":[' + TORN + b"," + many + b"]}"
    for chunk in (500, 4000, 10**6):
        pieces = split([data[at : at + chunk] for at in range(0, len(data), chunk)])
        assert numbers_of(pieces) == [TORN[:20], *range(100)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    objects=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=6),
    indent=st.none() | st.integers(0, 3),
    container=st.sampled_from(["lines", "array", "records"]),
    ascii_only=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_objects_survive_any_layout_and_any_chunks(
    objects: list[dict[str, object]],
    indent: int | None,
    container: str,
    ascii_only: bool,
    seed: int,
) -> None:
    objects = [each for each in objects if "Records" not in each]
    if container == "lines":
        text = "\n".join(
            json.dumps(each, indent=indent, ensure_ascii=ascii_only) for each in objects
        )
    else:
        whole = objects if container == "array" else {"Records": objects}
        text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    largest = random.Random(seed).choice([1, 7, 50, 1000])
    pieces = split(chunks(data, seed, largest))
    assert [json.loads(piece.data) for piece in pieces if isinstance(piece, Value)] == objects
    assert len(pieces) == len(objects)


RUBBISH = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b" ", b"\\", b"a", b"1", b"\0", b"\r\n",
    b"\xff", b'{"a":1}', b'{"Records":[', line(1), line(2) + b"\n",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.sampled_from(RUBBISH), max_size=25), seed=st.integers(0, 1000))
def test_rubbish_comes_out_the_same_in_any_chunks(data: list[bytes], seed: int) -> None:
    whole = b"".join(data)
    expected = flat(split(whole, quick=False))
    assert flat(split(chunks(whole, seed, 9), quick=False)) == expected
    assert flat(split(chunks(whole, seed, 9))) == expected
    assert flat(split(whole)) == expected
