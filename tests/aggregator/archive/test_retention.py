"""archive.retention removes objects, never manifests, and the sums stay what they were."""

from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.archive.settings import ArchiveSettings
from tests.aggregator.archive.rig import NOON, Rig, event

DAY = 86400


def filled(tmp_path: Path, **settings: Any) -> Rig:
    rig = Rig(tmp_path, **settings)
    for day in range(4):
        rig.log.send([event(day, NOON + day * DAY)])
        rig.pass_time(DAY, step=1800)
    return rig


def test_the_default_keeps_everything(tmp_path: Path) -> None:
    rig = filled(tmp_path)
    rig.clock.advance(3650 * DAY)
    rig.log.send([event(9, NOON)])
    rig.pass_time(DAY // 2, step=1800)
    assert len(rig.object_keys()) == 5


def test_old_objects_go_their_manifests_stay_and_the_sums_close(tmp_path: Path) -> None:
    rig = filled(tmp_path, retention="2d")
    rig.pass_time(DAY // 2, step=1800)
    assert len(rig.object_keys()) == 1
    assert len(rig.manifests()) == 4
    figures = rig.reader.figures(recount=True)
    assert (figures.archived, figures.removed, figures.kept_total) == (4, 3, 4)
    assert figures.is_sound
    assert rig.verify().problems == []
    assert rig.verify().removed == 3


def test_a_clock_set_back_brings_nothing_back_and_removes_nothing_twice(tmp_path: Path) -> None:
    rig = filled(tmp_path, retention="2d")
    rig.pass_time(DAY // 2, step=1800)
    rig.clock.jump(-10 * DAY)
    rig.pass_time(DAY // 2, step=1800)
    assert rig.reader.figures().removed == 3
    assert rig.reader.figures().is_sound


def test_an_object_that_is_missing_without_retention_is_still_missed(tmp_path: Path) -> None:
    rig = filled(tmp_path, retention="2d")
    rig.pass_time(DAY // 2, step=1800)
    (rig.home.archive / "opentrail" / rig.object_keys()[-1]).unlink()
    assert not rig.reader.figures().is_sound


def test_what_retention_condemned_and_a_crash_left_is_removed_at_the_next_pass(
    tmp_path: Path,
) -> None:
    rig = filled(tmp_path / "a", retention="2d")
    kept = filled(tmp_path / "b")
    rig.pass_time(DAY // 2, step=1800)
    gone = set(kept.object_keys()) - set(rig.object_keys())
    assert len(gone) == 3
    back = gone.pop()
    path = rig.home.archive / "opentrail" / back
    path.write_bytes(kept.destination.read(back))
    assert rig.reader.figures().is_sound
    rig.pass_time(DAY // 2, step=1800)
    assert not path.exists()


def test_a_retention_below_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="less than a day"):
        ArchiveSettings(retention="2h")
