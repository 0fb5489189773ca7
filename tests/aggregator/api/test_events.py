"""Events over HTTP: byte for byte, page by page, with errors that show the place."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.aggregator.api.serving import ListEngine, hit, serving


async def test_a_stream_gives_every_record_byte_for_byte(tmp_path: Path) -> None:
    engine = ListEngine([hit(number, text="Zoë\u2028") for number in range(2500)])
    async with serving(tmp_path, engine) as (client, _):
        answer = await client.get("/api/events", params={"format": "ndjson", "limit": "1000000"})
        body = await answer.read()
    assert body == b"".join(each.record + b"\n" for each in engine.hits)
    assert len(engine.asked) == 3


async def test_a_stream_ends_at_its_limit(tmp_path: Path) -> None:
    engine = ListEngine([hit(number) for number in range(2500)])
    async with serving(tmp_path, engine) as (client, _):
        answer = await client.get("/api/events", params={"format": "ndjson", "limit": "1001"})
        assert len((await answer.read()).splitlines()) == 1001


async def test_pages_follow_one_another_by_cursor(tmp_path: Path) -> None:
    engine = ListEngine([hit(number) for number in range(5)])
    async with serving(tmp_path, engine) as (client, _):
        first = await (await client.get("/api/events", params={"limit": "3"})).json()
        second = await (
            await client.get("/api/events", params={"limit": "3", "cursor": first["cursor"]})
        ).json()
    assert [each["raw"].encode() for each in first["events"] + second["events"]] == [
        each.record for each in engine.hits
    ]
    assert second["cursor"] is None


async def test_the_times_of_a_search_are_given_with_its_first_page_only(tmp_path: Path) -> None:
    engine = ListEngine([hit(number) for number in range(5)])
    async with serving(tmp_path, engine) as (client, _):
        parameters = {"limit": "2", "start": "2026-11-24", "end": "2026-11-25"}
        await client.get("/api/events", params=parameters)
        await client.get("/api/events", params=parameters | {"cursor": "2"})
    assert (engine.asked[0]["start"], engine.asked[0]["end"]) == (1_795_478_400, 1_795_564_799)
    assert (engine.asked[1]["start"], engine.asked[1]["end"]) == (None, None)


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_a_wrong_query_is_answered_with_its_place(tmp_path: Path, form: str) -> None:
    async with serving(tmp_path) as (client, _):
        answer = await client.get("/api/events", params={"query": "wrong AND", "format": form})
        error = (await answer.json())["error"]
    assert answer.status == 400
    assert (error["query"], error["place"]) == ("wrong AND", [6, 9])


async def test_a_fault_of_ours_tells_nothing_of_the_inside(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        answer = await client.get("/api/events", params={"query": "boom"})
        body = await answer.text()
    assert answer.status == 500
    assert "secret" not in body


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "٣"},
        {"limit": "9" * 400},
        {"start": "yesterday"},
        {"start": "2026-11-25", "end": "2026-11-24"},
        {"format": "xml"},
        [("limit", "1"), ("limit", "2")],
    ],
)
async def test_a_parameter_that_makes_no_sense_is_refused(
    tmp_path: Path, parameters: dict[str, str] | list[tuple[str, str]]
) -> None:
    async with serving(tmp_path) as (client, _):
        assert (await client.get("/api/events", params=parameters)).status == 400


async def test_a_client_that_goes_away_ends_its_search(tmp_path: Path) -> None:
    engine = ListEngine()
    async with serving(tmp_path, engine) as (client, _):
        asking = asyncio.create_task(client.get("/api/events", params={"query": "slow"}))
        assert await asyncio.to_thread(engine.started.wait, 5)
        asking.cancel()
        assert await asyncio.to_thread(engine.cancelled.wait, 5)


async def test_an_event_is_found_by_its_id_and_by_its_beginning(tmp_path: Path) -> None:
    engine = ListEngine([hit(7)])
    async with serving(tmp_path, engine) as (client, _):
        whole = await (await client.get(f"/api/events/{engine.hits[0].event_id}")).json()
        part = await (await client.get("/api/events/00000007")).json()
    assert json.loads(whole["events"][0]["raw"])["eventID"] == engine.hits[0].event_id
    assert part == whole
    assert engine.asked[-1]["query"] == "eventID:00000007*"


async def test_the_beginning_of_an_id_is_no_query(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        answer = await client.get("/api/events/aaaaaa%20OR%20*")
    assert answer.status == 400


async def test_counts_come_by_value_and_as_one_number(tmp_path: Path) -> None:
    async with serving(tmp_path, ListEngine([hit(1), hit(2)])) as (client, _):
        by_name = await (await client.get("/api/count", params={"by": "eventName"})).json()
        total = await (await client.get("/api/count")).json()
    assert by_name["counts"][0] == {"value": "GetObject", "count": 2}
    assert total == {"total": 2, "exact": True}
