"""Nobody without a key reads anything, and nobody reads beyond the scope of theirs."""

import base64
import json
from pathlib import Path

import aiohttp
import pytest

from opentrail.clock import SystemClock
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.api.server import ApiServer
from opentrail_aggregator.quarantine.item import Item
from tests.aggregator.api.serving import (
    ListArrivals,
    ListEngine,
    Log,
    basic,
    header_of,
    hit,
    serving,
    url_of,
)
from tests.aggregator.api.signing import ask

PATHS = [
    ("GET", "/health/delivery"), ("GET", "/metrics"), ("GET", "/api/events"),
    ("GET", "/api/events/00000001"), ("GET", "/api/events?format=ndjson"), ("GET", "/api/tail"),
    ("GET", "/api/count"), ("GET", "/api/status"), ("GET", "/api/agents"),
    ("POST", "/api/agents/a/retire"), ("GET", "/api/quarantine"), ("GET", "/api/quarantine/1-1"),
    ("POST", "/api/quarantine/replay"), ("GET", "/api/archive"), ("GET", "/api/archive/b/k"),
    ("GET", "/"), ("GET", "/nothing"), ("PUT", "/bucket/key"), ("POST", "/"),
]  # fmt: skip


def store(home: Path) -> KeyStore:
    return KeyStore(home / "keys", SystemClock())


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_without_a_key_nothing_is_answered(tmp_path: Path, method: str, path: str) -> None:
    engine = ListEngine([hit(1)])
    async with serving(tmp_path, engine) as (client, _), aiohttp.ClientSession() as nobody:
        answer = await nobody.request(method, url_of(client) + path)
        assert answer.status in (401, 403)
        assert b"eventName" not in await answer.read()
    assert engine.scopes == []


@pytest.mark.parametrize(("path", "word"), [("/health/live", "live"), ("/health/ready", "unready")])
async def test_two_paths_answer_anybody_with_one_word(tmp_path: Path, path: str, word: str) -> None:
    async with serving(tmp_path) as (client, server), aiohttp.ClientSession() as nobody:
        server._watching.stopping = True
        answer = await nobody.get(url_of(client) + path)
        assert (await answer.text()).strip() == word


async def test_open_metrics_have_to_be_asked_for(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, changes={"http.open_metrics": "true"}) as (client, _),
        aiohttp.ClientSession() as nobody,
    ):
        assert (await nobody.get(url_of(client) + "/metrics")).status == 200
        assert (await nobody.get(url_of(client) + "/api/events")).status == 401


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize("query", ["", "?query=eventName:Get*%20AND%20x&limit=3", "?query=a+b"])
async def test_what_botocore_signs_is_answered(tmp_path: Path, query: str, presigned: bool) -> None:
    key, secret = store(tmp_path).create("reader", Scope())
    async with serving(tmp_path) as (client, _):
        url = url_of(client) + "/api/events" + query
        status, body = await ask(url, key.id, secret, presigned=presigned)
    assert (status, json.loads(body)["events"]) == (200, [])


async def test_a_signed_body_is_part_of_the_signature(tmp_path: Path) -> None:
    key, secret = store(tmp_path).create("admin", Scope())
    async with serving(tmp_path) as (client, _):
        url = url_of(client) + "/api/quarantine/replay"
        status, body = await ask(url, key.id, secret, method="POST", body=b'{"items": ["1-1"]}')
    assert status == 404, body


async def test_hostile_requests_are_refused_and_told_nothing(tmp_path: Path) -> None:
    keys = store(tmp_path)
    key, secret = keys.create("admin", Scope())
    disabled, its_secret = keys.create("admin", Scope())
    keys.set_state(disabled.id, "disabled")
    async with serving(tmp_path, ListEngine([hit(1)])) as (client, _):
        url = url_of(client) + "/api/events"
        wrong_secret = await ask(url, key.id, "x" * 40)
        unknown = await ask(url, "OTAKAAAAAAAAAAAAAAAA", "x" * 40)
        off = await ask(url, disabled.id, its_secret)
        old = await ask(url, key.id, secret, age=400)
        future = await ask(url, key.id, secret, age=-400)
        other_service = await ask(url, key.id, secret, service="execute-api")
        changed = await ask(url, key.id, secret, spoil=True)
        right = await ask(url, key.id, secret, age=200)
    # One answer for three reasons: it does not tell whether a key exists.
    assert wrong_secret == unknown == off
    assert {each[0] for each in (unknown, old, future, changed)} == {401}
    assert other_service[0] == 400
    assert right[0] == 200
    assert b"expired" in old[1]
    assert b"future" in future[1]
    for _, body in (wrong_secret, old, future, other_service, changed):
        assert secret.encode() not in body
        assert b"eventName" not in body


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic !!!", "Bearer", "Bearer AAAA", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 x=y",
     "Digest x", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, "
     "Signature=0",
     "Basic " + base64.b64encode(b"\xff\xfe:x").decode()],
)  # fmt: skip
async def test_what_is_no_authorization_is_refused(tmp_path: Path, authorization: str) -> None:
    async with serving(tmp_path) as (client, _), aiohttp.ClientSession() as nobody:
        headers = {"Authorization": authorization}
        answer = await nobody.get(url_of(client) + "/api/events", headers=headers)
        assert answer.status == 401
        assert (await answer.json())["error"]["code"]


async def test_basic_and_bearer_take_the_same_key(tmp_path: Path) -> None:
    key, secret = store(tmp_path).create("reader", Scope())
    pair = f"{key.id}:{secret}"
    encoded = base64.b64encode(pair.encode()).decode()
    wrong = base64.b64encode(f"{key.id}:{secret}x".encode()).decode()
    statuses = []
    async with serving(tmp_path) as (client, _), aiohttp.ClientSession() as nobody:
        for each in (f"Basic {encoded}", f"Bearer {encoded}", f"Bearer {pair}", f"Basic {wrong}"):
            headers = {"Authorization": each}
            statuses.append(
                (await nobody.get(url_of(client) + "/api/count", headers=headers)).status
            )
    assert statuses == [200, 200, 200, 401]


async def test_a_key_stops_with_the_next_request_once_it_is_disabled(tmp_path: Path) -> None:
    keys = store(tmp_path)
    key, secret = keys.create("reader", Scope())
    headers = header_of(key.id, secret)
    async with serving(tmp_path) as (client, _):
        assert (await client.get("/api/count", headers=headers)).status == 200
        keys.set_state(key.id, "disabled")
        assert (await client.get("/api/count", headers=headers)).status == 401


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("writer", set()),
        ("reader", {"/api/events", "/api/count"}),
        ("auditor", {"/api/events", "/api/count", "/api/status", "/api/agents", "/metrics",
                     "/api/quarantine", "/api/archive"}),
    ],
)  # fmt: skip
async def test_a_role_may_what_it_may(tmp_path: Path, role: str, allowed: set[str]) -> None:
    headers = basic(tmp_path, role)
    paths = {"/api/events", "/api/count", "/api/status", "/api/agents", "/metrics",
             "/api/quarantine", "/api/archive"}  # fmt: skip
    async with serving(tmp_path) as (client, _):
        found = {path: (await client.get(path, headers=headers)).status for path in paths}
        change = await client.post("/api/quarantine/replay", headers=headers, json={"reason": "x"})
    assert found == {path: 200 if path in allowed else 403 for path in paths}
    assert change.status == 403


async def test_every_question_about_events_is_asked_within_the_scope(tmp_path: Path) -> None:
    engine, arrivals = ListEngine([hit(1)]), ListArrivals()
    headers = basic(tmp_path, "reader", accounts=("1111*",), regions=("eu-*",))
    async with serving(tmp_path, engine, arrivals=arrivals) as (client, _):
        for path in (
            "/api/events", "/api/events?format=ndjson", "/api/events/00000001-0000", "/api/count",
            "/api/count?by=eventName", "/api/tail?after=0&wait=1",
        ):  # fmt: skip
            assert (await client.get(path, headers=headers)).status == 200
    asked = engine.scopes + arrivals.scopes
    assert len(asked) >= 7
    assert {(each.accounts, each.regions) for each in asked} == {(("1111*",), ("eu-*",))}


OBJECTS = [
    f"AWSLogs/{account}/{folder}/{region}/2026/11/24/x.json.gz"
    for account in ("111122223333", "999900001111")
    for folder in ("CloudTrail", "CloudTrail-Digest", "OpenTrail-Manifest")
    for region in ("eu-west-1", "us-east-1")
]


async def test_the_archive_holds_only_what_is_in_scope(tmp_path: Path) -> None:
    for key in [*OBJECTS, "AWSLogs/odd.json.gz"]:
        path = tmp_path / "archive" / "opentrail" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    headers = basic(tmp_path, "auditor", accounts=("111122223333",), regions=("eu-*",))
    wanted = [each for each in OBJECTS if "/1111" in each and "eu-west-1" in each]
    async with serving(tmp_path) as (client, _):
        listed = await (await client.get("/api/archive", headers=headers)).json()
        keys, after = [], ""
        while True:
            page = await (
                await client.get(f"/api/archive?limit=1&after={after}", headers=headers)
            ).json()
            keys += [each["key"] for each in page["objects"]]
            if not page["after"]:
                break
            after = page["after"]
        got = {
            key: (await client.get(f"/api/archive/opentrail/{key}", headers=headers)).status
            for key in OBJECTS
        }
        missing = await client.get("/api/archive/opentrail/AWSLogs/none", headers=headers)
        hidden = await client.get("/api/archive/opentrail/AWSLogs/odd.json.gz", headers=headers)
        everything = await (await client.get("/api/archive")).json()
        assert (await hidden.text()).replace("odd.json.gz", "none") == await missing.text()
    assert [each["key"].removeprefix("opentrail/") for each in listed["objects"]] == sorted(wanted)
    assert [key.removeprefix("opentrail/") for key in keys] == sorted(wanted)
    assert got == {key: 200 if key in wanted else 404 for key in OBJECTS}
    assert len(everything["objects"]) == len(OBJECTS) + 1


class Items:
    """A quarantine that holds one item of each of `places`."""

    def __init__(self, places: list[tuple[str, str]]) -> None:
        self.items = [
            Item(id=f"{n}-1", position=n, ordinal=0, reason="conflict", account=a, region=r)
            for n, (a, r) in enumerate(places, 1)
        ]

    def list(self, *, reason: str = "", after: str = "", limit: int = 50,
             newest_first: bool = True) -> list[tuple[Item, bool]]:  # fmt: skip
        newest = self.items[::-1]
        start = [each.id for each in newest].index(after) + 1 if after else 0
        return [(each, False) for each in newest[start : start + limit]]

    def show(self, item_id: str) -> Item | None:
        return next((each for each in self.items if each.id == item_id), None)

    def replayed(self) -> set[str]:
        return set()


def put_items(server: ApiServer, items: Items) -> None:
    server._quarantine._quarantine = items  # type: ignore[assignment]


async def test_the_quarantine_holds_only_what_is_in_scope(tmp_path: Path) -> None:
    items = Items([("111122223333", "eu-west-1"), ("999900001111", "eu-west-1"), ("", ""),
                   ("111122223333", "us-east-1")] * 2)  # fmt: skip
    headers = basic(tmp_path, "auditor", accounts=("111122223333",), regions=("eu-*",))
    async with serving(tmp_path) as (client, server):
        put_items(server, items)
        listed = await (await client.get("/api/quarantine", headers=headers)).json()
        page = await (await client.get("/api/quarantine?limit=1", headers=headers)).json()
        shown = {
            each.id: (await client.get(f"/api/quarantine/{each.id}", headers=headers)).status
            for each in items.items
        }
        everything = await (await client.get("/api/quarantine")).json()
    assert [each["id"] for each in listed["items"]] == ["5-1", "1-1"]
    assert page["after"] == "5-1"
    assert shown == {each.id: 200 if each.id in ("1-1", "5-1") else 404 for each in items.items}
    assert len(everything["items"]) == 8


async def test_what_speaks_of_everything_needs_a_key_for_everything(tmp_path: Path) -> None:
    headers = basic(tmp_path, "admin", accounts=("111122223333",))
    async with serving(tmp_path) as (client, _):
        for path in ("/api/status", "/api/agents", "/metrics", "/health/delivery"):
            assert (await client.get(path, headers=headers)).status == 403
        for path in ("/api/quarantine/replay", "/api/agents/a/retire"):
            assert (await client.post(path, headers=headers)).status == 403


async def test_keys_that_cannot_be_read_let_nobody_in_and_show_no_path(tmp_path: Path) -> None:
    log = Log()
    async with serving(tmp_path, log=log) as (client, _):
        (tmp_path / "keys" / "seal.key").chmod(0o644)
        answer = await client.get("/api/events")
        assert answer.status == 503
        assert "seal.key" not in await answer.text()
