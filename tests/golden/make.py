"""Made the fixtures `agent-1` and `stores-1`, once: `python -m tests.golden.make FOLDER`.

What is there is never made anew (see the package's text): a new format gets a folder of its own,
made by a copy of what writes it here, and the old folder stays. No secret of anybody is in them.
"""

import gzip
import hashlib
import sys
from pathlib import Path

import msgspec
import zstandard

from opentrail.files import DISK
from opentrail_agent.capture.positions import Entry, Positions
from opentrail_agent.capture.splitter import Place
from opentrail_agent.importing.journal import Journal
from opentrail_agent.s3.importing import S3Import, _Reached
from opentrail_agent.s3.stream import Stream
from opentrail_agent.spool.aside import Aside
from opentrail_agent.spool.spool import Sealed, Spool
from opentrail_aggregator.access.key_file import KeyPair, write_key_file
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.archive.deliveries import Delivery, DeliveryFolder, StagedObject
from opentrail_aggregator.archive.destination import ObjectInfo
from opentrail_aggregator.archive.gather import Piece
from opentrail_aggregator.archive.keys import PartKey
from opentrail_aggregator.archive.ledger import RemovedLedger, write_ledger
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.manifest import (
    AgentEntry,
    Cut,
    Manifest,
    ObjectEntry,
    encode_manifest,
    manifest_key,
)
from opentrail_aggregator.archive.staging.slices import Slice, positions_from
from opentrail_aggregator.archive.staging.store import Staging
from opentrail_aggregator.cloudtrail.channels import ChannelStore
from opentrail_aggregator.cloudtrail.delivered import default_started_s
from opentrail_aggregator.digest.document import LogFile
from opentrail_aggregator.digest.inbox import Delivered, Inbox
from opentrail_aggregator.digest.keys import PublicKey
from opentrail_aggregator.digest.requests import request_end
from opentrail_aggregator.digest.state import ChainFolder, ChainState, Head
from opentrail_aggregator.digest.state import Run as DigestRun
from opentrail_aggregator.digest.unvalidated import note_unvalidated
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.generation import Generations, State
from opentrail_aggregator.ingest.ledger import Ledger
from opentrail_aggregator.ingest.ledger_store import LedgerStore
from opentrail_aggregator.trails.book import TrailBook
from opentrail_aggregator.trails.trail import TrailSpec, default_trail
from opentrail_aggregator.wal.cursors import Cursors
from opentrail_aggregator.wal.lineage import KnownAgent, Lineage, write_lineage
from tests.fakes.clock import FakeClock

NOW = 1_790_000_000
LOG = "00112233445566778899aabbccddeeff"
ACCOUNT, REGION = "111122223333", "eu-west-1"
TRAIL = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/default"


def make_agent(state: Path) -> None:
    """The state folder of an agent."""
    clock = FakeClock(NOW)
    spool = Spool(state / "spool", clock, make_epoch=lambda: b"e" * 16)
    for text in (b"one", b"two", b"three"):
        spool.append([Sealed(text, 1, 0)])
    spool.bind(LOG)
    spool.acknowledge(1)
    Aside(spool.directory).take(spool.reader(), 2, "too strange", clock.now_ns())
    spool.close()
    positions = Positions(state, 100)
    entry = Entry(generation="ab" * 16, path="/var/log/a", origin="/var/log/a", device=1, inode=2)
    entry.settle(Place(120, "lines"), b"}\n")
    positions.put(entry)
    positions.save()
    stream = Stream(state / "s3" / "bucket", "AWSLogs/1/eu-west-1/", 86400.0, "2026/11/22/")
    stream.taken("AWSLogs/1/eu-west-1/2026/11/24/key.json.gz")
    stream.save()
    journal = Journal(state)
    journal.write({"cd" * 32: Place(77, "lines"), "ef" * 32: None})
    journal.close()
    imported = S3Import(["s3://bucket/prefix"], None, 1, state, None, clock)  # type: ignore[arg-type]
    imported._reached["s3://bucket/prefix"] = _Reached("prefix/b", ["prefix/a"])
    imported._save()


def make_home(home: Home) -> None:
    """What `home-1` has not."""
    clock = FakeClock(NOW)
    _of_the_log(home)
    _keys(home, clock)
    _staging(home)
    _archive(home)
    _digest(home, clock)
    ChannelStore(home.channels, clock, 5).create(
        REGION, ACCOUNT, "partner", [{"Type": "EVENT_DATA_STORE", "Location": "x"}], []
    )
    default_started_s(home.trails / "default.json", clock)
    default = default_trail(ACCOUNT, "us-east-1")
    spec = TrailSpec(name="audit", home_region="us-east-1", account=ACCOUNT, bucket="opentrail")
    book = TrailBook(home.trails, clock, lambda kind, body: 7, log_id=lambda: LOG, default=default)
    book.change(lambda trails: ("arn:audit", spec))
    generations = Generations(home.index)
    generation = generations.create()
    generation.write(State(log_id=LOG, position=12, kept_total=40, expired=3))
    generations.switch_to(generation)
    home.opensearch.mkdir(parents=True)
    (home.opensearch / "held").write_bytes(
        b'{"key":"k1","position":9,"log":"l","day":"2026-11-24","account":"1","region":"r",'
        b'"reason":"mapper_parsing_exception","record":"{}"}\n'
    )


def _of_the_log(home: Home) -> None:
    store, ledger = LedgerStore(home.log), Ledger(LOG)
    store.directory.mkdir(parents=True)
    ledger.book(5, NOW * 10**9, "web-1", "ab" * 16, 1, b"d" * 16)
    store._spill(ledger)
    ledger.book(6, NOW * 10**9, "web-1", "ab" * 16, 2, b"e" * 16)
    store.save(ledger)
    Cursors(home.log / "cursors", LOG).commit("archive", 812, {"chains": {"a": 1}})
    known = KnownAgent(agent="web-1", epoch="ab" * 16, archived_through=4, consolidated_through=5)
    write_lineage(
        home.log,
        Lineage(log_id=LOG, follows=["old"], first_position=1 << 28, kept=11, agents=[known]),
    )


def _keys(home: Home, clock: FakeClock) -> None:
    home.keys.mkdir(parents=True)
    (home.keys / "seal.key").write_bytes(b"a fixture, and nobody's secret..")
    (home.keys / "seal.key").chmod(0o600)
    KeyStore(home.keys, clock).create("auditor", Scope((ACCOUNT,), ("eu-*",)), "golden")
    write_key_file(home.keys / "local.json", KeyPair("OTAKEXAMPLEEXAMPLE00", "nobodys-secret"))
    folder = home.keys / "digest" / REGION
    folder.mkdir(parents=True)
    key = PublicKey(
        region=REGION, fingerprint="f" * 32, value="AAAA", valid_from=NOW, valid_until=NOW + 9
    )
    DISK.replace(folder / f"{key.fingerprint}.json", msgspec.json.encode(key))


def _staging(home: Home) -> None:
    lines = b'{"eventID":"one"}\n{"eventID":"two"}\n'
    piece = Piece(
        PartKey(TRAIL, ACCOUNT, REGION, 497222, "CloudTrail"),
        Slice(
            b"", zstandard.ZstdCompressor().compress(lines), len(lines), positions_from(65536, 2),
            NOW, NOW + 1, 2, NOW, NOW, {1: "derived"},
        ),
        "",
    )  # fmt: skip
    staging = Staging(home.staging, LOG)
    staging.add(piece, 0.0)
    staging.checkpoint(3, {"chains": {}})
    DeliveryFolder(home.staging).prepare()
    DeliveryFolder(home.staging).commit(_delivery())


def _delivery() -> Delivery:
    staged = StagedObject(key="k", file="1-0.0.gz", sha256="0" * 64, bytes=1, stored_bytes=1)
    return Delivery(
        name="1-0", trail=TRAIL, bucket="opentrail", position=1, first_position=1, staged_at_ns=2,
        events=3, counted=3, sequence=4, objects=[staged], manifest=staged,
    )  # fmt: skip


def manifest_1() -> Manifest:
    """As the first release wrote it: `version` 1, nothing of what came with 2."""
    entry = ObjectEntry(
        key="AWSLogs/x.json.gz", sha256="0" * 64, bytes=36, events=2, counted=2,
        folder="CloudTrail", hour="2026-09-21T13:00:00Z",
        oldest_event_time="2026-09-21T13:06:40Z", newest_event_time="2026-09-21T13:06:41Z",
        first_position=65536, last_position=65537, positions=[65536, 1], complete=True,
    )  # fmt: skip
    agent = AgentEntry(
        agent="web-1", epoch="ab" * 16, begins_at=1, consolidated_through=2, reported_until=None
    )
    cut = Cut(
        position=131072, reason="hour", delivered_at="2026-09-21T14:00:00Z",
        delivered_at_ns=NOW * 10**9,
    )  # fmt: skip
    return Manifest(
        version=1, log_id=LOG, trail=TRAIL, account=ACCOUNT, region=REGION, sequence=1,
        previous=None, cut=cut, complete=True, events=2, objects=[entry], agents=[agent],
    )  # fmt: skip


def _archive(home: Home) -> None:
    local = LocalDirectory(home, "opentrail")
    first = manifest_1()
    plain = msgspec.json.decode(encode_manifest(first))
    for name in ("follows", "archived_through", "archived_until"):
        del plain[name]
    del plain["agents"][0]["archived_through"]
    second = msgspec.structs.replace(
        first, version=2, sequence=2, follows=["old"], archived_through=1,
        archived_until="2026-09-21T13:00:00Z",
    )  # fmt: skip
    for manifest, data in ((first, msgspec.json.encode(plain)), (second, encode_manifest(second))):
        staged = home.path / "staged"
        staged.write_bytes(gzip.compress(data, mtime=0))
        info = ObjectInfo(
            hashlib.sha256(data).hexdigest(), len(data), staged.stat().st_size, {"signature": "s"}
        )
        local.put_if_absent(manifest_key("", manifest), staged, info)
        staged.unlink(missing_ok=True)
    write_ledger(home, "opentrail", RemovedLedger(before_ns=5, objects=2, events=7, counted=6))


def _digest(home: Home, clock: FakeClock) -> None:
    file = LogFile(
        s3Bucket="opentrail", s3Object="k", hashValue="0" * 64,
        newestEventTime="2026-09-21T13:06:41Z", oldestEventTime="2026-09-21T13:06:40Z",
    )  # fmt: skip
    Inbox(home.digest / "inbox").put(
        Delivered(
            name="log-1-0", trail=TRAIL, account=ACCOUNT, region=REGION, root="",
            bucket="opentrail", delivered_at_ns=NOW * 10**9, files=[file],
        )
    )  # fmt: skip
    head = Head(bucket="b", key="k", sha256="0" * 64, signature="s", end_s=NOW, entries=["1-0"])
    run = DigestRun(first="k", last="k", digests=1, start_s=NOW - 3600, end_s=NOW)
    ChainFolder(home.digest).save(
        ChainState(
            trail=TRAIL, account=ACCOUNT, region=REGION, root="", bucket="opentrail",
            window_start_s=NOW, chained=True, head=head, runs=[run],
        )
    )  # fmt: skip
    note_unvalidated(home.digest, _delivery())
    request_end(home, TRAIL, NOW * 10**9)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make_agent(target / "agent-1")
    make_home(Home(target / "stores-1"))
