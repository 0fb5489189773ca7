"""Status over HTTP: counted anew for whoever asks, shared with whoever only watches."""

from pathlib import Path

from tests.aggregator.api.serving import ToldStores, figures, serving


async def test_who_asks_gets_a_count_of_now(tmp_path: Path) -> None:
    stores = ToldStores(figures())
    async with serving(tmp_path, stores=stores) as (client, _):
        assert (await (await client.get("/api/status")).json())["sums_agree"]
        stores.told = figures(quarantined=5)
        told = await (await client.get("/api/status")).json()
    assert not told["sums_agree"]
    assert stores.counts == 2


async def test_who_watches_shares_a_recent_count(tmp_path: Path) -> None:
    stores = ToldStores(figures())
    async with serving(tmp_path, stores=stores) as (client, _):
        for _ in range(5):
            await client.get("/api/status", params={"cached": "1"})
        assert stores.counts == 1
        recounted = await (await client.get("/api/status", params={"recount": "1"})).json()
    assert recounted["recounted"]
    assert stores.counts == 2


async def test_every_promised_figure_is_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        told = await (await client.get("/api/status")).json()
    promised = {
        *("received", "duplicates", "quarantined", "indexed", "archived", "expired"),
        *("unselected", "pending", "agents"),
    }
    assert promised <= set(told)
    assert told["room"]["free_bytes"] > 0
