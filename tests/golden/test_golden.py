"""What is on disks out there is read by this program; what a later one wrote is refused."""

import json
import shutil
from pathlib import Path

import pytest

from opentrail.batch import batch_events
from opentrail.errors import NewerFormatError
from opentrail.segment.frame import Kind, encode_frame
from opentrail_aggregator.consolidate.agents import AgentsView
from opentrail_aggregator.consolidate.consolidator import Consolidator
from opentrail_aggregator.consolidate.ids.manifest import NAME as IDS
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.identity.register import Register
from opentrail_aggregator.identity.tokens import TokenStore
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.quarantine.reader import Quarantine
from opentrail_aggregator.wal.disk_log import DiskLog
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry
from tests.aggregator.consolidate.world import NOW, Sections, line
from tests.fakes.clock import FakeClock

GOLDEN = Path(__file__).resolve().parent


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(GOLDEN / "home-1", tmp_path / "home")))


def consolidated(home: Home) -> Consolidator:
    clock = FakeClock(NOW + 10)
    role = Consolidator(home, Sections(), clock, Metrics("consolidate", clock))
    while role.step():
        pass
    return role


def test_a_log_of_format_1_is_read(home: Home) -> None:
    found = DiskLogReader(home.log).read(0, 1 << 20)
    entries = [each for each in found if isinstance(each, LogEntry)]
    assert len(entries) == len(found) == 3
    settings, batch, heartbeat = entries
    assert settings.control()["grants"][0]["agent"] == "*"
    assert (batch.agent, batch.sequence, batch.events) == ("web-1", 1, 4)
    assert batch_events(batch.payload).splitlines()[:2] == [line("one"), line("two")]
    assert heartbeat.control()["type"] == "heartbeat"


def test_verdicts_quarantine_and_the_agents_table_of_format_1_are_read(home: Home) -> None:
    verdicts = VerdictReader(home).read(0)
    assert [list(each.outcomes) for each in verdicts] == [[], [0, 0, 1, 3], []]
    ((item, _),) = Quarantine(home).list(limit=10, newest_first=False)
    assert (item.id, item.reason, item.agent) == ("2-0", "bad_account", "web-1")
    table = AgentsView(home).read()
    (epoch,) = table.agents["web-1"].epochs.values()
    assert (epoch.sequence, epoch.events) == (1, 4)


def test_id_sets_of_format_1_still_know_their_copies(home: Home) -> None:
    """A stranger's log entry goes behind the old ones, with a copy of what the old set holds."""
    from opentrail.batch import SourceRun, digest_of, seal_batch
    from opentrail_aggregator.wal.log import BatchMeta, batch_frame
    from opentrail_aggregator.wal.published import PublishedPosition

    log = DiskLog(
        home.log, FakeClock(NOW + 5), segment_bytes=1 << 20,
        published=PublishedPosition(home.log, writing=True),
    )  # fmt: skip
    lines = line("one") + b"\n" + line("new") + b"\n"
    payload = seal_batch(lines, 2, [SourceRun(source="test:", events=2)], [])
    meta = BatchMeta("web-1", "0123456789abcdef" * 2, 2, digest_of(payload).hex())
    outcome = log.commit([batch_frame(meta, payload, 2, 0)])
    assert outcome.error is None
    log.close()
    consolidated(home).close()
    (last,) = VerdictReader(home).read(3)
    assert list(last.outcomes) == [1, 0], "a copy, and a new one"


def test_a_store_of_a_later_format_is_refused_and_left_as_it_is(home: Home) -> None:
    head = b'{"format": 2, "store": "x", "first": 1, "events": 0, "refused": 0}'
    segment = home.log / "00000000000000000001.seg"
    segment.write_bytes(b"".join(encode_frame(Kind.HEAD, 1, head)))
    before = contents(home.log)
    with pytest.raises(NewerFormatError, match="format 2"):
        DiskLog(home.log, FakeClock(NOW), segment_bytes=1 << 20)
    assert contents(home.log) == before


def test_an_id_set_of_a_later_format_is_refused_and_left_as_it_is(home: Home) -> None:
    path = home.ids / IDS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    before = contents(home.ids)
    with pytest.raises(NewerFormatError, match="format 99"):
        consolidated(home)
    assert contents(home.ids) == before


def test_identity_files_of_format_1_are_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "identity-1", tmp_path / "identity"))
    clock = FakeClock(NOW + 60)
    (token,) = TokenStore(folder, clock).list()
    assert (token.id, token.names, token.used, token.state(NOW + 60)) == (
        "00112233aa", "web-*", 1, "open",
    )  # fmt: skip
    register = Register(folder, clock)
    register.refresh()
    assert register.is_revoked("abc123")
    (grant,) = register.grants()
    assert (grant.agent, grant.accounts) == ("web-1", ("111122223333",))
