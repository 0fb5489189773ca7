"""Every use is an event, on disk before its answer leaves."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from opentrail.record import Admitted, admit
from opentrail_aggregator.api.own_events import FOLD_SECONDS
from tests.aggregator.api.serving import ListEngine, Log, basic, header_of, hit, serving, url_of


async def test_a_search_is_a_cloudtrail_record_with_its_query_and_key(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, log=log) as (client, _):
        await client.get(
            "/api/events", params={"query": "errorCode:*", "limit": "7", "X-Amz-Signature": "abc"}
        )
        first = json.loads((tmp_path / "keys" / "local.json").read_bytes())
    (record,) = log.records
    assert record["eventName"] == "SearchEvents"
    assert record["eventSource"] == "cloudtrail.amazonaws.com"
    assert record["requestParameters"] == {"query": "errorCode:*", "limit": "7"}
    assert record["userIdentity"]["accessKeyId"] == first["access_key_id"]
    assert record["userIdentity"]["userName"] == "local"
    assert (record["recipientAccountId"], record["awsRegion"]) == ("000000000000", "us-east-1")
    assert (record["sourceIPAddress"], record["readOnly"]) == ("127.0.0.1", True)
    assert isinstance(admit(log.lines[0], "", "", ""), Admitted)
    assert first["secret_access_key"].encode() not in log.lines[0]


async def test_each_call_has_its_name_and_health_metrics_and_status_have_none(
    tmp_path: Path,
) -> None:
    log = Log()
    async with serving(tmp_path, ListEngine([hit(1)]), log=log) as (client, _):
        for path in (
            "/health/live", "/health/ready", "/health/delivery", "/metrics", "/api/status",
            "/api/events", "/api/events?format=ndjson", "/api/events/00000001-0000", "/api/count",
            "/api/tail?wait=1", "/api/agents", "/api/quarantine", "/api/archive",
            "/api/archive/opentrail/none",
        ):  # fmt: skip
            await client.get(path)
        await client.post("/api/quarantine/replay", json={"items": ["1-1"]})
    assert log.names() == [
        "SearchEvents", "ExportEvents", "GetEvent", "CountEvents", "TailEvents", "ListAgents",
        "ListQuarantine", "ListArchive", "GetArchiveObject", "ReplayQuarantine",
    ]  # fmt: skip
    assert log.records[-1]["requestParameters"] == {"items": ["1-1"]}
    assert len({each["eventID"] for each in log.records}) == len(log.records)
    assert {agent for agent, _ in log.batches} == {"opentrail/api"}


async def test_what_cannot_be_written_is_not_answered_and_health_and_status_are(
    tmp_path: Path,
) -> None:
    log, engine = Log(), ListEngine([hit(1)])
    log.refuses = "the log is full"
    async with serving(tmp_path, engine, log=log) as (client, server):
        answer = await client.get("/api/events")
        assert answer.status == 503
        assert "log is full" in (await answer.json())["error"]["message"]
        assert engine.asked == []
        assert (await client.get("/api/status")).status == 200
        assert (await client.get("/health/live")).status == 200
        problems = server._metrics.snapshot()["problems"]
        assert [each["key"] for each in problems] == ["api.audit"]
        async with aiohttp.ClientSession() as nobody:
            assert (await nobody.get(f"{url_of(client)}/api/events")).status == 503
        log.refuses = ""
        assert (await client.get("/api/events")).status == 200
        assert server._metrics.snapshot()["problems"] == []


async def test_repeats_of_a_refused_caller_are_one_more_event(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, log=log) as (client, server):
        async with aiohttp.ClientSession() as nobody:
            for number in range(20):
                # Other names, other paths: a stranger makes no events by being inventive.
                headers = header_of(f"OTAK{number:016d}", "x")
                answer = await nobody.get(f"{url_of(client)}/api/{number}", headers=headers)
                assert answer.status == 401
        assert len(log.records) == 1
        assert log.records[0]["errorCode"] == "SignatureDoesNotMatch"
        identity = log.records[0]["userIdentity"]
        assert identity == {
            "type": "Unknown", "principalId": "anonymous", "accessKeyId": "OTAK" + "0" * 16,
        }  # fmt: skip
        await server._own._unfold(everything=True)
        assert log.records[1]["additionalEventData"]["repeats"] == 19
        assert log.records[1]["eventID"] != log.records[0]["eventID"]


async def test_a_known_key_that_may_not_is_named_in_its_refusal(tmp_path: Path) -> None:
    log = Log()
    headers = basic(tmp_path, "writer")
    async with serving(tmp_path, log=log) as (client, _):
        assert (await client.get("/api/events", headers=headers)).status == 403
    assert log.records[0]["errorCode"] == "AccessDenied"
    assert log.records[0]["userIdentity"]["type"] == "IAMUser"


async def test_a_tail_that_goes_on_is_one_event_a_minute(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, ListEngine(), log=log) as (client, server):
        for _ in range(3):
            await client.get("/api/tail", params={"wait": "1", "after": "0", "query": "x"})
        assert log.names() == ["TailEvents"]
        (fold,) = server._own._folds.values()
        fold.since -= FOLD_SECONDS
        await server._own._unfold()
        assert [each.get("additionalEventData", {}).get("repeats") for each in log.records] == [
            None, 2,
        ]  # fmt: skip


async def test_concurrent_calls_share_a_write(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, log=log) as (client, _):
        answers = await asyncio.gather(*(client.get("/api/count") for _ in range(200)))
    assert {each.status for each in answers} == {200}
    assert len(log.records) == 200
    assert len(log.batches) < 150


@pytest.mark.parametrize(
    "query", ["\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "x" * 20_000, "\x00"]
)
async def test_a_hostile_query_makes_a_record_that_can_be_kept(tmp_path: Path, query: str) -> None:
    log = Log()
    async with serving(tmp_path, log=log) as (client, _):
        await client.get("/api/events", params={"query": query}, headers={"User-Agent": "ü" * 999})
    assert isinstance(admit(log.lines[0], "", "", ""), Admitted)
    assert len(log.lines[0]) < 10_000


async def test_audit_can_be_switched_off(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, log=log, changes={"http.audit": "false"}) as (client, _):
        assert (await client.get("/api/events")).status == 200
    assert log.records == []
