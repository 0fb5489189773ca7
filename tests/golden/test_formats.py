"""Every file of docs/formats.md is read as its format 1 wrote it, and refused if a later one did.

Refused means: the error names the file and what to do, and every byte of the folder stays.
"""

import contextlib
import gzip
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opentrail.errors import DamagedError, NewerFormatError, OpenTrailError
from opentrail.files import DISK
from opentrail.segment.cursor import CursorFile
from opentrail.segment.frame import Kind, encode_frame
from opentrail.segment.store import SegmentStore
from opentrail_agent.capture.positions import Positions
from opentrail_agent.importing.journal import Journal
from opentrail_agent.s3.importing import S3Import
from opentrail_agent.s3.stream import Stream
from opentrail_agent.spool.aside import kept_aside
from opentrail_agent.spool.spool import Spool
from opentrail_aggregator.access.key_file import read_key_file
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.deliveries import DeliveryFolder
from opentrail_aggregator.archive.ledger import read_ledger
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.staging.run_reader import Run
from opentrail_aggregator.archive.staging.store import Staging
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.delivered import default_started_s
from opentrail_aggregator.consolidate.agents import AgentsView
from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.digest.inbox import read_all
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.digest.requests import read_requests
from opentrail_aggregator.digest.state import ChainFolder
from opentrail_aggregator.digest.unvalidated import read_unvalidated
from opentrail_aggregator.home import Home
from opentrail_aggregator.identity.kept import read_entries
from opentrail_aggregator.index.generation import Generations
from opentrail_aggregator.ingest.ledger_store import LedgerStore
from opentrail_aggregator.opensearch.held import Held, held_entries
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.trails.book import TrailBook
from opentrail_aggregator.trails.trail import default_trail
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.lineage import read_lineage
from tests.fakes.clock import FakeClock
from tests.golden.make import ACCOUNT, LOG, NOW, REGION, TRAIL, manifest_1

GOLDEN = Path(__file__).resolve().parent
FORMATS = GOLDEN.parents[1] / "docs" / "formats.md"

Read = Callable[[Path], Any]
Raise = Callable[[bytes], bytes]


def json_of(number: int) -> Raise:
    """The same object, said to be of another format."""

    def raised(content: bytes) -> bytes:
        value = json.loads(content)
        value["version" if "version" in value else "format"] = number
        return json.dumps(value).encode()

    return raised


def first_line(content: bytes) -> bytes:
    line, feed, rest = content.partition(b"\n")
    return json_of(2)(line) + feed + rest


def segment(content: bytes) -> bytes:
    head = b'{"format": 2, "store": "x", "first": 1, "events": 0, "refused": 0}'
    return b"".join(encode_frame(Kind.HEAD, 1, head))


def slots(change: Callable[[bytes], bytes]) -> Raise:
    """The two slots of a cursor file, with another payload."""

    def raised(content: bytes) -> bytes:
        slot = max((content[:4096], content[4096:]), key=lambda each: each[4:12][::-1])
        _, generation, length = struct.unpack_from("<IQI", slot)
        payload = change(slot[16 : 16 + length])
        body = struct.pack("<QI", generation, len(payload)) + payload
        return (struct.pack("<I", zlib.crc32(body)) + body).ljust(4096, b"\0") * 2

    return raised


def packed(place: int) -> Raise:
    """A msgpack array whose element at `place` is the format; what follows may be of any kind."""

    def raised(content: bytes) -> bytes:
        values = msgspec.msgpack.decode(content)
        values[place:] = [2, *("of another kind" for _ in values[place + 1 :])]
        return msgspec.msgpack.encode(values)

    return raised


def magic(old: bytes, new: bytes) -> Raise:
    def raised(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return raised


def zipped(content: bytes) -> bytes:
    return gzip.compress(json_of(3)(gzip.decompress(content)), mtime=0)


NEXT = json_of(2)


@dataclass(frozen=True)
class Kept:
    """One format."""

    name: str
    """Its row in docs/formats.md."""
    file: str
    """The fixture, a pattern; the first part is the folder that is copied."""
    read: Read
    expected: Any
    raised: Raise = NEXT
    told: str = ""
    """Where the refusal says otherwise which file it is."""


def spool(folder: Path) -> Any:
    found = Spool(folder / "spool", FakeClock(NOW))
    try:
        return found.next_position, found.standing.epoch, found.standing.acknowledged
    finally:
        found.close()


def positions(folder: Path) -> Any:
    found = Positions(folder, 10)
    assert found.load() == ""
    return [(each.generation, each.offset) for each in found]


def stream(folder: Path) -> Any:
    found = Stream(folder / "s3" / "bucket", "AWSLogs/1/eu-west-1/", 86400.0, "")
    assert found.note == ""
    key = "AWSLogs/1/eu-west-1/2026/11/24/key.json.gz"
    return found.floor, list(found.fresh(iter([(key, 1)])))


def journal(folder: Path) -> Any:
    found = Journal(folder)
    return found.reached("cd" * 32), found.reached("ef" * 32)


def s3_import(folder: Path) -> Any:
    found = S3Import(["s3://bucket/prefix"], None, 1, folder, None, FakeClock())  # type: ignore[arg-type]
    return [(name, each.after, each.failed) for name, each in found._reached.items()]


def ledger(folder: Path) -> Any:
    store = LedgerStore(Home(folder).log)
    found = store.load(LOG)
    assert store.findings == []
    return [(each.agent, each.last) for each in found], found.digest("web-1", "ab" * 16, 1)


def ids(folder: Path) -> Any:
    found = IdSets(Home(folder).ids, DISK)
    try:
        return len(found)
    finally:
        found.close()


def staging(folder: Path) -> Any:
    found = Staging(Home(folder).staging, LOG)
    (part,) = found.parts.values()
    return part.key.account, b"".join(each.text() for each in found.slices(part))


def manifests(folder: Path) -> Any:
    catalog = Catalog(LocalDirectory(Home(folder), "opentrail"))
    found = [catalog.manifest(key) for key in catalog.manifest_keys()]
    first, second = sorted(found, key=lambda each: each.version)
    assert msgspec.structs.replace(second, version=1) != first == manifest_1()
    return first.version, second.version, second.follows, second.archived_through


def metadata(folder: Path) -> Any:
    local = LocalDirectory(Home(folder), "opentrail")
    return {
        (found.metadata or {}).get("signature")
        for each in local.list()
        if (found := local.head(each.key)) is not None
    }


def chains(folder: Path) -> Any:
    (found,) = ChainFolder(Home(folder).digest).read_all()
    return found.trail, found.head and found.head.entries, found.runs[0].digests


def generation(folder: Path) -> Any:
    current = Generations(Home(folder).index).current()
    assert current is not None
    return current.name, current.read().position, current.read().expired


def access_keys(folder: Path) -> Any:
    store = KeyStore(Home(folder).keys, FakeClock(NOW))
    (key,) = store.list()
    return key.role, key.note, bool(store.secret_of(key.id))


def key_file(folder: Path) -> Any:
    path = Home(folder).keys / "local.json"
    path.chmod(0o600)
    return read_key_file(path).id


def held(folder: Path) -> Any:
    writer = Held(Home(folder).opensearch)
    writer.close()
    return writer.keys, [each["reason"] for each in held_entries(Home(folder).opensearch)]


def trails(folder: Path) -> Any:
    book = TrailBook(
        Home(folder).trails, FakeClock(NOW), lambda kind, body: 1, log_id=lambda: LOG,
        default=default_trail(ACCOUNT, "us-east-1"),
    )  # fmt: skip
    return [each.name for each in book.all().values()]


def opened(directory: Path) -> None:
    """Opened by its owner, as at a start of its role, before others read it."""
    SegmentStore.open(directory, DISK, segment_bytes=1 << 20).close()


def log(folder: Path) -> Any:
    opened(Home(folder).log)
    return len(DiskLogReader(Home(folder).log).read(0, 1 << 20))


def verdicts(folder: Path) -> Any:
    opened(Home(folder).verdicts)
    return [list(each.outcomes) for each in VerdictReader(Home(folder)).read(0)]


def quarantine(folder: Path) -> Any:
    opened(Home(folder).quarantine)
    return [each.id for each, _ in Quarantine(Home(folder)).list(limit=9)]


KEPT = (
    Kept("spool segments", "agent-1/spool/segments/*.seg", spool, (4, b"e" * 16, 1), segment),
    Kept("spool standing", "agent-1/spool/standing", spool, (4, b"e" * 16, 1), slots(json_of(2))),
    Kept(
        "set-aside batch", "agent-1/spool/set-aside/*.batch",
        lambda folder: [each.told.reason for each in kept_aside(folder / "spool")],
        ["too strange"], first_line,
    ),
    Kept("source positions", "agent-1/positions.json", positions, [("ab" * 16, 120)]),
    Kept("S3 import", "agent-1/s3-import.json", s3_import,
         [("s3://bucket/prefix", "prefix/b", ["prefix/a"])]),
    Kept("S3 stream", "agent-1/s3/bucket/*.json", stream, ("2026/11/23/", [])),
    Kept("import journal", "agent-1/import.journal", lambda folder: (
        journal(folder)[0].offset, journal(folder)[1]), (77, None),
        lambda content: b"format 2\n" + content),
    Kept("log segments", "home-1/log/*.seg", log, 3, segment),
    Kept("ledger", "stores-1/log/agents/ledger", ledger, ([("web-1", 2)], b"d" * 16),
         magic(b"OTL1", b"OTL2")),
    Kept("ledger digests", "stores-1/log/agents/*.digests", ledger, ([("web-1", 2)], b"d" * 16),
         magic(b"OTL1", b"OTL2")),
    Kept("lineage", "stores-1/log/lineage.json",
         lambda folder: (read_lineage(Home(folder).log).follows,
                         read_lineage(Home(folder).log).archived_through("web-1", "ab" * 16)),
         (["old"], 4)),
    Kept("cursors", "stores-1/log/cursors/archive",
         lambda folder: Cursors(Home(folder).log / "cursors", LOG).read("archive"),
         (812, {"chains": {"a": 1}}), slots(packed(3))),
    Kept("verdicts", "home-1/verdicts/*.seg", verdicts, [[], [0, 0, 1, 3], []], segment),
    Kept("agents table", "home-1/verdicts/state.json",
         lambda folder: list(AgentsView(Home(folder)).read().agents), ["web-1"]),
    Kept("id set manifest", "home-1/ids/manifest.json", ids, 2),
    Kept("id set run", "home-1/ids/*.ids", ids, 2, magic(b"OTIDRUN1", b"OTIDRUN2")),
    Kept("quarantine", "home-1/quarantine/*.seg", quarantine, ["2-0"], segment),
    Kept("index state", "stores-1/index/g000001/state", generation, ("g000001", 12, 3),
         slots(packed(0))),
    Kept("staging", "stores-1/staging/CURRENT", staging,
         (ACCOUNT, b'{"eventID":"one"}\n{"eventID":"two"}\n'), packed(0)),
    Kept("staging run", "stores-1/staging/*.run",
         lambda folder: [Run(path, DISK).events for path in Home(folder).staging.glob("*.run")],
         [2], magic(b"OTRUN001", b"OTRUN002")),
    Kept("staged delivery", "stores-1/staging/deliveries/*.json",
         lambda folder: [each.sequence for each in DeliveryFolder(Home(folder).staging).read_all()],
         [4]),
    Kept("manifest", "stores-1/archive/opentrail/AWSLogs/*/*/*/*/*/*/*.gz", manifests,
         (1, 2, ["old"], 1), zipped, told="AWSLogs/"),
    Kept("object metadata", "stores-1/archive-meta/opentrail/AWSLogs/*/*/*/*/*/*/*.json", metadata,
         {"s"}),
    Kept("removed objects", "stores-1/archive-meta/opentrail.removed.json",
         lambda folder: read_ledger(Home(folder), "opentrail").events, 7),
    Kept("digest key", "stores-1/keys/digest/*/*.json",
         lambda folder: [
             each.valid_from for each in FileKeys(folder / "keys" / "digest").public_keys(REGION)
         ], [NOW]),
    Kept("digest inbox", "stores-1/digest/inbox/*.json",
         lambda folder: [each.files[0].s3Object for each in read_all(folder / "digest" / "inbox")],
         ["k"]),
    Kept("digest chain", "stores-1/digest/chains/*.json", chains, (TRAIL, ["1-0"], 1)),
    Kept("unvalidated trail", "stores-1/digest/unvalidated/*.json",
         lambda folder: [each.key for each in read_unvalidated(folder / "digest")], ["k"]),
    Kept("digest request", "stores-1/digest/requests/*.json",
         lambda folder: [(each.kind, each.at_s) for each in read_requests(Home(folder))],
         [("end", NOW + 1)]),
    Kept("access keys", "stores-1/keys/keys.json", access_keys, ("auditor", "golden", True)),
    Kept("key file", "stores-1/keys/local.json", key_file, "OTAKEXAMPLEEXAMPLE00"),
    Kept("join tokens", "identity-1/tokens.json",
         lambda folder: list(read_entries(folder / "tokens.json")), ["00112233aa"]),
    Kept("enrolled agents", "identity-1/agents.json",
         lambda folder: list(read_entries(folder / "agents.json")), ["web-1"]),
    Kept("revoked serials", "identity-1/revoked.json",
         lambda folder: list(read_entries(folder / "revoked.json")), ["abc123"]),
    Kept("channels", "stores-1/channels/channels.json",
         lambda folder: [
             (each.name, each.account)
             for each in ChannelStore(Home(folder).channels, FakeClock(NOW), 5).list(
                 REGION, ACCOUNT
             )
         ], [("partner", ACCOUNT)]),
    Kept("trails", "stores-1/trails/trails.json", trails, ["default", "audit"]),
    Kept("start of the default trail", "stores-1/trails/default.json",
         lambda folder: default_started_s(folder / "trails" / "default.json", FakeClock(5)), NOW),
    Kept("held events", "stores-1/opensearch/held", held,
         ({"k1"}, ["mapper_parsing_exception"]), first_line),
)  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def copied(kept: Kept, tmp_path: Path) -> tuple[Path, Path]:
    """The folder, and the file in it."""
    name, _, pattern = kept.file.partition("/")
    folder = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
    for secret in ("keys/seal.key", "keys/keys.json", "keys/local.json"):
        with contextlib.suppress(FileNotFoundError):
            (folder / secret).chmod(0o600)  # Git keeps no such modes.
    return folder, min(folder.glob(pattern))


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name.replace(" ", "-"))
def test_what_format_1_wrote_is_read_as_what_it_was(kept: Kept, tmp_path: Path) -> None:
    folder, _ = copied(kept, tmp_path)
    assert kept.read(folder) == kept.expected


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name.replace(" ", "-"))
def test_what_a_later_release_wrote_is_refused_and_left_as_it_is(
    kept: Kept, tmp_path: Path
) -> None:
    folder, path = copied(kept, tmp_path)
    path.write_bytes(kept.raised(path.read_bytes()))
    before = contents(folder)
    with pytest.raises(OpenTrailError) as caught:
        kept.read(folder)
    assert not isinstance(caught.value, DamagedError)
    text = str(caught.value)
    assert (kept.told or str(path)) in text
    assert "later" in text
    assert "use that" in text
    assert contents(folder) == before


def test_a_cursor_of_the_earliest_release_names_no_format(tmp_path: Path) -> None:
    path = tmp_path / "index"
    CursorFile(path).write(msgspec.msgpack.encode([LOG, 7, {}]))
    assert Cursors(tmp_path, LOG).read("index") == (7, {})


def test_an_index_of_a_later_release_is_not_begun_anew(tmp_path: Path) -> None:
    """Another release made it: it can be asked again once that release is back."""
    kept = next(each for each in KEPT if each.name == "index state")
    folder, path = copied(kept, tmp_path)
    path.write_bytes(kept.raised(path.read_bytes()))
    with pytest.raises(NewerFormatError, match="opentrail index rebuild"):
        generation(folder)


def numbers() -> str:
    return FORMATS.read_text().partition("\n## Numbers of formats\n")[2].partition("\n## ")[0]


def test_every_format_that_the_document_names_has_a_fixture() -> None:
    rows = re.findall(r"^\| ([^|]+) \| `([^|]+)` \|", numbers(), re.MULTILINE)
    assert [name for name, _ in rows] == [each.name for each in KEPT]
    assert [each.name for each in KEPT if not list(GOLDEN.glob(each.file))] == []


def test_every_file_that_the_document_names_is_in_its_table_of_numbers() -> None:
    named = set(re.findall(r"`((?:HOME|STATE)/[^` ]*[^`/ ])`", FORMATS.read_text()))
    assert len(named) > 40
    assert [each for each in sorted(named) if f"`{each}`" not in numbers()] == []
