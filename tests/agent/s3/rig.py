"""A followed bucket on the real server, with a spool in memory that acknowledges when told."""

import asyncio
import contextlib
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from opentrail.batch import batch_refused
from opentrail.clock import SystemClock
from opentrail_agent.metrics import Metrics
from opentrail_agent.s3.following import S3Following
from opentrail_agent.s3.settings import S3ClientSettings, S3SourceSettings
from opentrail_agent.spool.room import Room
from opentrail_agent.spool.spool import Spool
from opentrail_agent.spool.writer import SpoolWriter
from tests.agent.capture.rig import unpack
from tests.real.versitygw import S3Server

ACCOUNT, ORGANIZATION = "111122223333", "o-a1b2c3d4e5"


def key_of(stamp: str, name: str = "x", *, root: str = "AWSLogs/", account: str = ACCOUNT,
           folder: str = "CloudTrail", region: str = "eu-west-1") -> str:  # fmt: skip
    """A key as CloudTrail makes it; `stamp` as 20261124T1005Z."""
    day = f"{stamp[:4]}/{stamp[4:6]}/{stamp[6:8]}"
    file = f"{account}_{folder}_{region}_{stamp}_{name:0>16}.json.gz"
    return f"{root}{account}/{folder}/{region}/{day}/{file}"


def records(*numbers: int) -> bytes:
    """A file of CloudTrail's."""
    made = [
        {
            "eventVersion": "1.11", "eventTime": "2026-11-24T10:00:00Z", "eventName": "Get",
            "eventSource": "s3.amazonaws.com", "awsRegion": "eu-west-1",
            "recipientAccountId": ACCOUNT, "eventID": f"00000000-0000-4000-8000-{number:012}",
        }
        for number in numbers
    ]  # fmt: skip
    return gzip.compress(json.dumps({"Records": made}).encode())


class Rig:
    """One source over one state; opened anew it goes on."""

    def __init__(self, server: S3Server, state: Path, bucket: str, **more: Any) -> None:
        self.server = server
        self.bucket = bucket
        self._state = state
        client = S3ClientSettings(
            endpoint=server.endpoint, region="us-east-1", path_style=True, workers=2
        )
        self.settings = S3SourceSettings(
            url=f"s3://{bucket}", client=client, **{"poll": 1.0} | more
        )
        self.metrics = Metrics(SystemClock())

    def put(self, key: str, body: bytes) -> None:
        self.server.client().put_object(Bucket=self.bucket, Key=key, Body=body)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        clock = SystemClock()
        spool = Spool(self._state / "spool", clock)
        self.spool = SpoolWriter(spool, Room(1 << 30, 0, lambda: 1 << 40), clock, self.metrics)
        source = S3Following(
            self.settings, self._state, self.spool, clock, self.metrics, retry_seconds=0.2
        )
        self.source = source
        running = asyncio.ensure_future(source.run())
        try:
            yield
            assert not running.done(), running.result()
        finally:
            running.cancel()
            await asyncio.wait((running,))
            await self.spool.close()

    async def payloads(self) -> list[bytes]:
        return [
            each.payload for each in await self.spool.read(self.spool.first_sequence - 1, 1 << 30)
        ]

    async def numbers(self) -> Counter[int]:
        """How often each record is in the spool."""
        found: Counter[int] = Counter()
        for payload in await self.payloads():
            found.update(int(event.id[-12:]) for event in unpack(payload).events)
        return found

    async def refused(self) -> list[str]:
        return [item.reason for payload in await self.payloads() for item in batch_refused(payload)]

    async def until(self, what: str, look: Callable[[], Any], seconds: float = 40) -> None:
        for _ in range(int(seconds / 0.05)):
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what}; {self.metrics.problems()}")

    async def until_read(self, *numbers: int) -> None:
        async def are_there() -> bool:
            return set(numbers) <= set(await self.numbers())

        await self.until(f"records {numbers}", are_there)
