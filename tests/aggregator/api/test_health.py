"""Health is what the roles published, and silence is a fault: both edges within seconds."""

import json
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.api.health import STALE_SECONDS, judge
from opentrail_aggregator.api.prometheus import render
from opentrail_aggregator.api.snapshots import read_snapshots
from tests.aggregator.api.serving import serving

NOW = 5000.0
NOW_NS = 1_795_514_400_000_000_000


def snapshot(
    role: str, *, age: float = 0.5, problems: tuple[str, ...] = (), **values: float
) -> dict[str, Any]:
    return {
        "role": role,
        "pid": 1,
        "started_at_ns": NOW_NS - 10**9,
        "at_ns": NOW_NS - int(age * 1e9),
        "monotonic": NOW - age,
        "metrics": [{"name": n, "labels": {}, "value": v} for n, v in values.items()],
        "problems": [{"key": key, "text": f"{key} is wrong", "since_ns": 1} for key in problems],
    }


def supervisor(*groups: str) -> dict[str, Any]:
    found = snapshot("supervisor")
    found["metrics"] = [
        {"name": "opentrail_process_restarts_total", "labels": {"process": group}, "value": 0}
        for group in groups
    ]
    return found


def well(**others: Any) -> dict[str, Any]:
    roles = ("ingest", "consolidate", "index", "archive", "api")
    return {
        "supervisor": supervisor("ingest", "consolidate+archive", "index", "api"),
        **{role: snapshot(role) for role in roles},
        **others,
    }


def _judge(snapshots: dict[str, dict[str, Any]]) -> Any:
    return judge(snapshots, NOW, NOW_NS, 60.0)


def test_all_is_well_when_all_report_and_nobody_complains() -> None:
    health = _judge(well())
    assert (health.ready, health.delivery, health.problems) == (True, True, ())


@pytest.mark.parametrize("role", ["consolidate", "index", "archive"])
def test_a_dead_reader_stops_delivery_and_not_ingest(role: str) -> None:
    health = _judge(well(**{role: snapshot(role, age=STALE_SECONDS + 1)}))
    assert (health.ready, health.delivery) == (True, False)
    assert health.problems[0].role == role


def test_a_dead_ingest_is_not_ready() -> None:
    assert not _judge(well(ingest=snapshot("ingest", age=STALE_SECONDS + 1))).ready


def test_a_snapshot_from_before_a_reboot_is_not_fresh() -> None:
    health = _judge(well(index=snapshot("index", age=-1000.0)))
    assert health.up["index"] is False


def test_a_role_that_should_run_and_never_reported_is_a_problem() -> None:
    snapshots = well()
    del snapshots["index"]
    health = _judge(snapshots)
    assert [(each.role, each.key) for each in health.problems] == [("index", "not_started")]


def test_what_health_finds_by_itself_is_over_with_its_cause() -> None:
    late = snapshot("index", opentrail_index_lag_seconds=61.0)
    faults = {"silent": snapshot("index", age=STALE_SECONDS + 1), "late": late, "not_started": None}
    for key, fault in faults.items():
        snapshots = {role: each for role, each in well(index=fault).items() if each is not None}
        assert [(each.role, each.key) for each in _judge(snapshots).problems] == [("index", key)]
        snapshots["index"] = snapshot("index", opentrail_index_lag_seconds=59.0)
        assert _judge(snapshots).problems == ()


def test_a_role_that_is_not_asked_for_is_not_missed() -> None:
    snapshots = {"supervisor": supervisor("ingest", "api"), "ingest": snapshot("ingest"),
                 "api": snapshot("api")}  # fmt: skip
    assert _judge(snapshots).delivery


@pytest.mark.parametrize("key", ["log.failed", "log.full", "log.closed"])
def test_a_log_that_takes_nothing_is_not_ready(key: str) -> None:
    assert not _judge(well(ingest=snapshot("ingest", problems=(key,)))).ready


@pytest.mark.parametrize(
    ("role", "key"), [("ingest", "ingest.fork.web-1"), ("consolidate", "alarm.conflict")]
)
def test_an_alarm_is_told_and_stops_nothing(role: str, key: str) -> None:
    health = _judge(well(**{role: snapshot(role, problems=(key,))}))
    assert (health.ready, health.delivery) == (True, True)
    assert [each.key for each in health.problems] == [key]


def test_a_problem_that_nobody_knows_stops_delivery() -> None:
    assert not _judge(well(index=snapshot("index", problems=("index.new_trouble",)))).delivery


def test_what_waits_too_long_stops_delivery() -> None:
    late = snapshot("index", opentrail_index_lag_seconds=61.0)
    assert not _judge(well(index=late)).delivery
    soon = snapshot("index", opentrail_index_lag_seconds=59.0)
    assert _judge(well(index=soon)).delivery


def test_a_dead_role_shows_none_of_its_old_figures() -> None:
    snapshots = well(
        index=snapshot("index", age=100.0, opentrail_index_documents=7.0),
        archive=snapshot("archive", opentrail_archive_objects_total=3.0),
    )
    text = render(snapshots, _judge(snapshots))
    assert 'opentrail_role_up{role="index"} 0' in text
    assert "opentrail_index_documents" not in text
    assert 'opentrail_archive_objects_total{role="archive"} 3' in text
    assert "# TYPE opentrail_archive_objects_total counter" in text


def test_a_label_cannot_break_the_format() -> None:
    found = snapshot("api")
    found["metrics"] = [{"name": "opentrail_x", "labels": {"path": 'a"b\n\\'}, "value": 1.5}]
    snapshots = {"api": found}
    assert 'path="a\\"b\\n\\\\"} 1.5' in render(snapshots, _judge(snapshots))


def test_a_snapshot_that_is_none_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(b'{"role": "index", "mono')
    (tmp_path / "api.json").write_text(json.dumps(snapshot("api")))
    (tmp_path / "archive.json").write_bytes(b"[]")
    (tmp_path / "ingest.json.12.tmp").write_bytes(b"")
    assert set(read_snapshots(tmp_path)) == {"api"}


async def test_probes_answer_one_word_and_stopping_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
        assert (live.status, await live.text()) == (200, "live\n")
        assert (ready.status, await ready.text()) == (200, "ready\n")
        server._watching.stopping = True
        assert (await client.get("/health/ready")).status == 503


async def test_metrics_are_prometheus_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        await client.get("/health/live")
        answer = await client.get("/metrics")
        text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'opentrail_api_requests_total{role="api",path="/health/live",status="200"} 1' in text
