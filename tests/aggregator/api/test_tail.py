"""Tail shows what arrives from now on, each event once, and waits for it."""

import asyncio
from pathlib import Path

from tests.aggregator.api.serving import ListArrivals, hit, serving


async def test_what_was_there_before_is_not_shown(tmp_path: Path) -> None:
    arrivals = ListArrivals()
    arrivals.hits.append(hit(1))
    async with serving(tmp_path, arrivals=arrivals) as (client, _):
        page = await (await client.get("/api/tail", params={"wait": "1"})).json()
    assert page == {"events": [], "after": str(1 << 16)}


async def test_an_event_is_shown_when_it_arrives_and_only_once(tmp_path: Path) -> None:
    arrivals = ListArrivals()
    async with serving(tmp_path, arrivals=arrivals) as (client, _):
        asking = asyncio.create_task(client.get("/api/tail", params={"wait": "30", "after": "0"}))
        await asyncio.sleep(0.1)
        arrivals.hits.append(hit(5))
        page = await (await asking).json()
        assert [each["raw"].encode() for each in page["events"]] == [arrivals.hits[0].record]
        again = await client.get("/api/tail", params={"wait": "1", "after": page["after"]})
        assert (await again.json())["events"] == []


async def test_a_place_that_no_answer_gave_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        assert (await client.get("/api/tail", params={"after": "x"})).status == 400
