"""A home made from an archive: what it knows and says; nothing can be broken half-way."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from opentrail.errors import ConfigError, UsageError
from opentrail.identity import event_key
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.consolidate.ids.idsets import IdSets
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.home import Home
from opentrail_aggregator.rebuild.command import described
from opentrail_aggregator.rebuild.fresh_home import POSITIONS_APART_BITS, first_position_behind
from opentrail_aggregator.rebuild.guard import refuse_second_history
from opentrail_aggregator.rebuild.rebuild import Outcome, RebuildError, rebuild
from opentrail_aggregator.rebuild.remains import MARK
from opentrail_aggregator.wal.disk_reader import open_reader
from opentrail_aggregator.wal.lineage import read_lineage
from tests.aggregator.archive.rig import LOG_ID, NOON, Event, MemoryLog, Rig, event
from tests.fakes.clock import FakeClock

OTHER_LOG = "f" * 32


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """An archive of two hours; the last batch is not delivered."""
    rig = Rig(tmp_path / "home")
    rig.grant_all()
    rig.log.send([event(n, NOON + n, derived=n % 5 == 0) for n in range(40)])
    rig.log.send([event(n, NOON + n) for n in range(40, 60)])
    rig.work()
    rig.pass_time(3600 + 15 * 60)
    rig.log.send([event(n, NOON + 4000 + n) for n in range(60, 70)])
    rig.work()
    rig.archiver.close()
    return rig


def lose(home: Home) -> None:
    """All but the archive."""
    for entry in home.path.iterdir():
        if entry.name not in ("archive", "archive-meta"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def run(rig: Rig, log_id: str = "") -> Outcome:
    found = list(rebuild(rig.home, rig.settings, rig.destination, FakeClock(NOON), log_id=log_id))
    assert isinstance(found[-1], Outcome)
    return found[-1]


def places(home: Home, events: Iterable[Event]) -> list[int]:
    """Where the id set says that each event came first; its probe's own place if it is unknown."""
    events = list(events)
    ids = IdSets(home.ids)
    keys = [event_key(each.account, each.event_id, each.time // 3600) for each in events]
    hours = np.array([each.time // 3600 for each in events], dtype=np.int64)
    nothing = np.zeros(len(events), dtype=np.uint64)
    _, positions = ids.find_or_add(keys, hours, nothing, nothing)
    ids.close()
    return [int(each) for each in positions]


def test_every_archived_event_is_known_at_its_old_place_and_no_other_is(rig: Rig) -> None:
    archived = {
        record.line: record.position for _, record in Catalog(rig.destination).all_records()
    }
    assert len(archived) == 60
    lose(rig.home)
    run(rig)
    old = [event(n, NOON + n, derived=n % 5 == 0 and n < 40) for n in range(60)]
    assert places(rig.home, old) == [archived[each.line] for each in old]
    assert places(rig.home, [event(n, NOON + 4000 + n) for n in range(60, 70)]) == [0] * 10


def test_the_new_log_begins_behind_the_old_one_and_counts_what_is_archived(rig: Rig) -> None:
    lose(rig.home)
    outcome = run(rig)
    lineage = read_lineage(rig.home.log)
    assert lineage == outcome.lineage
    assert (lineage.follows, lineage.kept) == ([LOG_ID], 60)
    first = lineage.first_position
    assert first == (1 << POSITIONS_APART_BITS) + 1
    log = open_reader(rig.home)
    assert (log.log_id, log.first_position()) == (lineage.log_id, first)
    assert log.received_through(first - 1) == (60, 0)
    verdict = VerdictReader(rig.home).last()
    assert verdict is not None
    assert (verdict.position, verdict.kept_total) == (first - 1, 60)
    figures = rig.reader.figures(recount=True)
    assert (figures.archived, figures.kept_total, figures.findings) == (60, 60, [])


def test_it_says_from_which_batch_on_and_since_when_events_may_be_missing(rig: Rig) -> None:
    lose(rig.home)
    outcome = run(rig)
    (agent,) = outcome.lineage.agents
    # Two batches were delivered; of the third the last manifest had not heard.
    assert (agent.agent, agent.archived_through) == ("web-1", 2)
    said = "\n".join(described(outcome, "opentrail"))
    assert "agent web-1, epoch " + "e" * 32 + ": from batch 3 on" in said
    assert "everything that arrived until 20" in said


def test_the_chain_of_manifests_goes_on_across_the_two_logs(rig: Rig) -> None:
    lose(rig.home)
    lineage = run(rig).lineage
    log = MemoryLog(rig.clock)
    log.log_id = lineage.log_id
    again = Rig(rig.home.path, log=log)
    # The memory log begins at 1; what counts here is whose manifest the first one names.
    again.archiver.step()
    current = read_current(rig.home.staging)
    assert current is not None
    assert (current.log_id, current.position) == (lineage.log_id, lineage.first_position - 1)
    (head,) = current.state["chains"].values()
    last = rig.manifests()[-1]
    assert (head["sequence"], last.follows, last.version) == (last.sequence, [], 2)
    again.archiver.close()


def test_positions_of_two_rebuilds_never_meet() -> None:
    assert first_position_behind(1) == first_position_behind((1 << 28) - 1) == (1 << 28) + 1
    assert first_position_behind(1 << 28) == (2 << 28) + 1
    assert first_position_behind((1 << 28) + 1) == (2 << 28) + 1


def test_a_log_that_is_there_is_left_alone(rig: Rig) -> None:
    lose(rig.home)
    lineage = run(rig).lineage
    with pytest.raises(RebuildError, match="there is a log here"):
        run(rig)
    assert read_lineage(rig.home.log) == lineage


def test_what_is_left_of_the_lost_log_is_set_aside_and_not_deleted(rig: Rig) -> None:
    lose(rig.home)
    rig.home.index.mkdir()
    (rig.home.index / "CURRENT").write_text("g000001")
    aside = Path(run(rig).aside)
    assert (aside / "index" / "CURRENT").read_text() == "g000001"
    assert not rig.home.index.exists()


def test_an_archive_without_manifests_is_nothing_to_rebuild_from(tmp_path: Path) -> None:
    home, settings = Home(tmp_path), ArchiveSettings()
    destination = LocalDirectory(home, settings.bucket)
    with pytest.raises(RebuildError, match="nothing to rebuild from"):
        list(rebuild(home, settings, destination, FakeClock(NOON)))
    assert not (tmp_path / MARK).exists()


def test_several_histories_in_one_bucket_are_not_guessed_about(rig: Rig) -> None:
    other = MemoryLog(rig.clock)
    other.log_id = OTHER_LOG
    elsewhere = Rig(rig.home.path.with_name("other"), log=other, destination=rig.destination)
    elsewhere.grant_all()
    other.send([event(n, NOON + n) for n in range(100, 107)])
    elsewhere.work()
    elsewhere.pass_time(3600 + 15 * 60)
    elsewhere.archiver.close()
    lose(rig.home)
    with pytest.raises(UsageError, match="--log ID") as raised:
        run(rig)
    assert f"{OTHER_LOG} (7 events)" in str(raised.value)
    assert not (rig.home.path / MARK).exists(), "nothing was begun"
    with pytest.raises(UsageError, match="holds nothing of that log"):
        run(rig, "0" * 31 + "1")
    lineage = run(rig, OTHER_LOG).lineage
    assert (lineage.follows, lineage.kept) == ([OTHER_LOG], 7)
    # What the other history holds is known, so it is not archived a second time.
    assert 0 not in places(rig.home, [event(n, NOON + n) for n in range(40, 60)])


def test_what_retention_removed_is_neither_counted_nor_looked_for(rig: Rig) -> None:
    lose(rig.home)
    settings = ArchiveSettings(retention="1d")
    later = FakeClock(NOON + 3 * 86400)
    *_, outcome = rebuild(rig.home, settings, rig.destination, later)
    assert isinstance(outcome, Outcome)
    assert (outcome.lineage.kept, outcome.events) == (0, 0)
    assert rig.reader.figures().archived == 0


def test_a_start_over_an_archive_with_events_is_refused_until_it_is_rebuilt(rig: Rig) -> None:
    lose(rig.home)
    with pytest.raises(ConfigError, match="opentrail-aggregator rebuild"):
        refuse_second_history(rig.home, rig.destination)
    run(rig)
    refuse_second_history(rig.home, rig.destination)
    (rig.home.path / MARK).write_text("{}")
    with pytest.raises(ConfigError, match="was interrupted"):
        refuse_second_history(rig.home, rig.destination)


def test_a_new_home_over_an_empty_archive_starts(tmp_path: Path) -> None:
    refuse_second_history(Home(tmp_path), LocalDirectory(Home(tmp_path), "opentrail"))


KILLED = "import sys; sys.path[:0] = []\nfrom tests.aggregator.rebuild.test_rebuild import child\n"


def child(path: str) -> None:
    """One rebuild in a process of its own."""
    home, settings = Home(Path(path)), ArchiveSettings()
    destination = LocalDirectory(home, settings.bucket)
    for _ in rebuild(home, settings, destination, FakeClock(NOON)):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("point", ["rebuild.marked", "rebuild.identities", "rebuild.stores"])
def test_killed_anywhere_and_given_again_it_comes_to_the_same(rig: Rig, point: str) -> None:
    lose(rig.home)
    rig.home.index.mkdir()
    (rig.home.index / "CURRENT").write_text("g000001")
    done = subprocess.run(
        [sys.executable, "-c", f"{KILLED}child({str(rig.home.path)!r})"],
        env=os.environ | {"OPENTRAIL_CRASH_AT": point}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with pytest.raises(ConfigError, match="was interrupted"):
        refuse_second_history(rig.home, rig.destination)
    outcome = run(rig)
    assert not (rig.home.path / MARK).exists()
    assert (Path(outcome.aside) / "index" / "CURRENT").exists()
    assert outcome.lineage.kept == 60
    assert rig.reader.figures().findings == []
    assert 0 not in places(rig.home, [event(n, NOON + n) for n in range(40, 60)])
    assert json.loads((rig.home.log / "lineage.json").read_bytes())["log_id"] == (
        open_reader(rig.home).log_id
    )
