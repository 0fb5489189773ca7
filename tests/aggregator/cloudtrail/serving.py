"""The services behind a real HTTP port and over a real index; what they write is kept in a list."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.config
from aiohttp import web

from opentrail.batch import batch_events
from opentrail.clock import SystemClock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.api.access import KeyAccess
from opentrail_aggregator.api.own_events import OwnEvents
from opentrail_aggregator.api.own_record import OwnRecords
from opentrail_aggregator.api.searching import Searching
from opentrail_aggregator.api.services import by_service
from opentrail_aggregator.archive_source import destination_of
from opentrail_aggregator.cloudtrail.http import cloudtrail_services
from opentrail_aggregator.config import load
from opentrail_aggregator.ingest.control import ControlError, NoRoomError
from opentrail_aggregator.metrics import Metrics
from tests.aggregator.index.store import DirectStore

ACCOUNT = "000000000000"
OTHER = "111122223333"
SESSION = boto3.session.Session()
OWN_AGENT = "opentrail/api"
T = TypeVar("T")


class Log:
    """Where events go that the port writes; `refuses` makes it say no."""

    def __init__(self) -> None:
        self.refuses = ""
        self.batches: list[tuple[str, list[dict[str, Any]]]] = []
        self.controls: list[dict[str, Any]] = []
        self.loses_answers = False

    def append(self, kind: str, body: dict[str, Any]) -> int:
        """A control frame; with `loses_answers` it is written and nobody is told."""
        if self.refuses:
            raise NoRoomError(self.refuses)
        self.controls.append({"type": kind, **body})
        if self.loses_answers:
            raise ControlError("ingest did not answer")
        return len(self.controls)

    def submit(self, agent: str, payload: bytes) -> int:
        if self.refuses:
            raise OpenTrailError(self.refuses)
        lines = batch_events(payload).splitlines()
        self.batches.append((agent, [json.loads(line) for line in lines]))
        return len(self.batches)

    def own(self) -> list[dict[str, Any]]:
        return [each for agent, records in self.batches if agent == OWN_AGENT for each in records]

    def put(self) -> list[dict[str, Any]]:
        return [each for agent, records in self.batches if agent != OWN_AGENT for each in records]


class Served:
    """An open port, its keys and its stores."""

    def __init__(self, home: Path, **changes: str) -> None:
        overrides = {name.replace("__", "."): value for name, value in changes.items()}
        self.settings = load(None, {"home": str(home), **overrides})
        self.store = DirectStore(home)
        self.log = Log()
        self.system = SystemClock()
        self.metrics = Metrics("api", self.system)
        self.keys = KeyStore(home / "keys", self.system)
        self.url = ""
        self._clients: dict[Any, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="port")
        self._runner: web.AppRunner | None = None

    @property
    def now_s(self) -> int:
        return self.store.clock.now_ns() // 1_000_000_000

    def add(self, *records: dict[str, Any], region: str = "us-east-1") -> None:
        """Index records of the account that they name."""
        lines = []
        for record in records:
            time_s = int(record.pop("time_s"))
            account = str(record.pop("account", ACCOUNT))
            lines.append((json.dumps(record).encode(), "", time_s, account, region))
        self.store.add_lines(lines)

    def key(self, role: str = "admin", **scope: tuple[str, ...]) -> tuple[str, str]:
        """Id and secret of a new key."""
        key, secret = self.keys.create(role, Scope(**scope))
        return key.id, secret

    def client(
        self,
        service: str = "cloudtrail",
        role: str = "admin",
        region: str = "us-east-1",
        key: tuple[str, str] | None = None,
        **scope: tuple[str, ...],
    ) -> Any:
        """A stock client; without `key`, with a key of that role and scope."""
        wanted = (service, role, region, key, tuple(sorted(scope.items())))
        if wanted not in self._clients:
            self._clients[wanted] = self._client(service, region, key or self.key(role, **scope))
        return self._clients[wanted]

    def _client(self, service: str, region: str, key: tuple[str, str]) -> Any:
        key_id, secret = key
        # One session: reading the service models is what takes long.
        return SESSION.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start(self) -> None:
        self._thread.start()
        self.run(self._open())

    def stop(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.store.close()

    async def _open(self) -> None:
        self._searching = Searching(2, 20.0, self.system, self.metrics)
        install = self.settings.install
        own = OwnEvents(
            self.log.submit,
            OwnRecords(install.account, install.home_region, self.system),
            self.system,
            self.metrics,
        )
        services = cloudtrail_services(
            self.settings,
            self.store.clock,
            self.metrics,
            self.store.engine,
            self._searching,
            destination_of(self.settings),
            self.log.submit,
            own,
            self.log.append,
        )
        access = KeyAccess(self.keys, self.system)
        application = web.Application(
            client_max_size=1 << 21,
            middlewares=[by_service(services, access, own, self.metrics)],
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        self._searching.close()
        assert self._runner is not None
        await self._runner.cleanup()


@contextlib.contextmanager
def serving(home: Path, **changes: str) -> Iterator[Served]:
    served = Served(home, **changes)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def record(served: Served, number: int, **members: Any) -> dict[str, Any]:
    """A management event `number` seconds ago."""
    time_s = served.now_s - number
    return {
        "time_s": time_s,
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "userName": "alice", "accessKeyId": "AKIAEXAMPLE1"},
        "eventTime": "2026-01-01T00:00:00Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "us-east-1",
        "eventID": f"{number:08x}-0000-4000-8000-000000000000",
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        **members,
    }
