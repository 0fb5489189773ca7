"""What must hold for each reader of foreign bytes, whatever the bytes are.

Each target returns a word for what became of its input, and raises if a promise does not hold: only
the reader's own errors, and what is accepted is what it says it is.
"""

import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable

from opentrail.batch import BatchError, SourceRun, seal_batch
from opentrail.errors import NewerFormatError
from opentrail.identity import event_key, hour_of
from opentrail.record import REASONS, Admitted, Refused, admit
from opentrail.segment.frame import FrameError, Kind, decode_frame, encode_frame
from opentrail.segment.scan import scan_segment
from opentrail_aggregator.access.sigv4 import Request, SignatureError, verify
from opentrail_aggregator.consolidate.examine import Examined, examine
from opentrail_aggregator.consolidate.policy import Policy
from opentrail_aggregator.search.errors import QueryError
from opentrail_aggregator.search.parser import QUERY_MAX_CHARACTERS, parse
from opentrail_aggregator.search.tree import canonical
from opentrail_aggregator.wal.log import LogEntry

NOW_S = 1_795_500_000
POLICY = Policy({"grants": [{"agent": "*", "accounts": ["1*"], "regions": ["*"]}]})


def frame_reader(data: bytes) -> str:
    """A frame that is returned is made of exactly these bytes; a scan loses and invents none."""
    try:
        frame, end, synced = decode_frame(data, 0)
    except (FrameError, NewerFormatError) as error:
        word = type(error).__name__ + re.sub(r"\d+", "N", str(error))
    else:
        again = encode_frame(
            frame.kind, frame.position, frame.payload, meta=frame.meta, events=frame.events,
            refused=frame.refused, appended_at_ns=frame.appended_at_ns, synced=synced,
        )  # fmt: skip
        assert b"".join(again) == data[:end]
        word = f"frame {frame.kind.name}"
    try:
        found = scan_segment(data)
    except NewerFormatError:
        return word + ", newer"
    assert found.valid_bytes + found.torn_bytes in (found.valid_bytes, len(data))
    assert all(0 <= hole.begin < hole.end <= len(data) for hole in found.holes)
    after = 0
    for offset, each in found.frames:
        assert offset >= after, "frames overlap"
        after = offset + len(each.meta) + len(each.payload)
        assert each.kind not in (Kind.HEAD, Kind.FOOTER)
    return f"{word}, {min(len(found.frames), 9)} frames, {min(len(found.holes), 3)} holes"


def records(data: bytes) -> str:
    """Consolidate's quick look at many lines says what the one definition says of each."""
    lines = data.replace(b"\r", b"").split(b"\n")
    run = SourceRun(source="fuzz:", account="111122223333", region="eu-west-1", events=len(lines))
    payload = seal_batch(b"".join(line + b"\n" for line in lines), len(lines), [run], [])
    found = examine(entry_of(payload, len(lines)), POLICY, 86400)
    assert found.lines == lines
    words = []
    for ordinal, line in enumerate(lines):
        words.append(agrees(found, ordinal, line, admit(line, run.account, run.region)))
    return " ".join(sorted(set(words)))


def agrees(found: Examined, ordinal: int, line: bytes, what: Admitted | Refused) -> str:
    refused = found.refused.get(ordinal)
    assert (refused is None) == bool(found.keys[ordinal])
    if isinstance(what, Refused):
        assert what.reason in REASONS
        assert refused is not None, f"kept, and {what}"
        assert refused.reason == what.reason
        return what.reason
    assert re.fullmatch(r"[0-9]{12}", what.account, re.ASCII)
    assert re.fullmatch(r"[a-z0-9-]{1,40}", what.region, re.ASCII)
    assert isinstance(json.loads(line), dict), "an event is JSON to everybody"
    if refused is not None:
        assert refused.reason in ("future", "outside_grant")
        return refused.reason
    assert found.times[ordinal] == what.time_s
    assert found.keys[ordinal] == event_key(what.account, what.event_id, hour_of(what.time_s))
    assert found.groups[found.group_of[ordinal]].account == what.account
    return "kept"


def batches(data: bytes) -> str:
    """A batch is opened, or refused as one; as many lines as it states come out."""
    events = int.from_bytes(data[4:8], "little")
    try:
        found = examine(entry_of(data, events), POLICY, 86400)
    except BatchError as error:
        return re.sub(r"[0-9]+|`.*", "N", str(error))[:60]
    assert len(found.lines) == len(found.keys) == len(found.times) == len(found.group_of) == events
    return f"opened {min(events, 9)} {min(len(found.items), 3)} {sorted(found.refused)[:3]}"


def entry_of(payload: bytes, events: int) -> LogEntry:
    return LogEntry(
        1, Kind.BATCH, NOW_S * 1_000_000_000, "web-1", "00" * 16, 1, "", "*", events, 0, payload
    )


def query(data: bytes) -> str:
    """A tree that can be written and read again as itself, or an error with its place."""
    text = data.decode("utf-8", "replace")
    try:
        tree = parse(text)
    except QueryError as error:
        return told(error, text)
    written = canonical(tree)
    if len(written) <= QUERY_MAX_CHARACTERS:  # Quoting makes it longer.
        assert parse(written) == tree
    return type(tree).__name__


def told(error: QueryError, text: str) -> str:
    assert 0 <= error.start <= error.end <= len(text)
    assert error.message
    assert error.pointer()
    return re.sub(r'"[^"]*"|\d+|\S*\w+\S*:', "", error.message)[:40]


KEY, SECRET = "OTAKEXAMPLE", "not/a/real/secret/of/anybody"


def request_of(data: bytes) -> Request:
    """Method, path, ?query, headers; an empty line; body.  As aiohttp hands them on."""
    head, _, body = data.partition(b"\n\n")
    lines = head.decode("utf-8", "surrogateescape").split("\n")
    method, path, wanted = (*lines, "", "", "")[:3]
    pairs = [line.partition(":") for line in lines[3:]]
    return Request(method, path, wanted.removeprefix("?"), tuple((n, v) for n, _, v in pairs), body)


def signature(originals: list[bytes]) -> Callable[[bytes], str]:
    """Nothing is believed but what was signed: what else is accepted means the same."""
    signed = [request_of(each) for each in originals]
    meant = {meaning(request) for request in signed}

    def target(data: bytes) -> str:
        request = request_of(data)
        try:
            credential = verify(request, lambda key: SECRET if key == KEY else None, float(NOW_S))
        except SignatureError as error:
            return re.sub(r"'[^']*'|\d\S*", "", f"{error.code} {error}")[:50]
        assert credential.key_id == KEY
        assert meaning(request) in meant, "believed, and nobody signed it"
        return "believed"

    return target


def meaning(request: Request) -> tuple[object, ...]:
    """What a handler could act upon: any of it another, and it is another request."""
    path = urllib.parse.unquote_to_bytes(request.path.encode("utf-8", "surrogateescape"))
    pairs = sorted(filter(None, request.query.split("&")))
    named = tuple(
        " ".join(request.header(name).split()) for name in ("host", "x-amz-target", "x-amz-date")
    )
    # S3 leaves the body of a presigned request open, and nothing here reads one.
    is_open = "%2Fs3%2Faws4_request" in request.query
    body = b"" if is_open else hashlib.sha256(request.body).digest()
    return request.method.upper(), _plain(path), tuple(_named(each) for each in pairs), named, body


def _plain(path: bytes) -> bytes:
    """Without dots and double slashes, which SigV4 itself leaves out of what is signed."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    return b"/".join(kept)


def _named(pair: str) -> str:
    name, _, value = pair.partition("=")
    return f"{name}={value}"
