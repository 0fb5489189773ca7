"""Channels of PutAuditEvents: named ways in for applications, kept in HOME/channels.

    HOME/channels/channels.json   {"format": 1, "channels": [{"arn", "name", "source",
                                   "destinations", "tags", "created_at"}]}    replaced atomically

A channel is a name to send to and to trace events by. It gives nobody a right: the key does.
"""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import DamagedError
from opentrail.files import DISK
from opentrail.formats import refuse_newer
from opentrail_aggregator.cloudtrail.errors import ApiError
from opentrail_aggregator.cloudtrail.owner import arn_of

FORMAT = 1
SOURCE = "Custom"


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel."""

    arn: str
    name: str
    source: str
    destinations: list[dict[str, str]]
    tags: list[dict[str, str]]
    created_at: int

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


class ChannelStore:
    """All channels; a change is durable when it returns. Safe from any thread."""

    def __init__(self, directory: Path, clock: Clock, channels_max: int) -> None:
        self.directory = directory
        self._clock = clock
        self._channels_max = channels_max
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._channels: dict[str, Channel] = {}

    @property
    def path(self) -> Path:
        return self.directory / "channels.json"

    def create(
        self,
        region: str,
        account: str,
        name: str,
        destinations: list[dict[str, str]],
        tags: list[dict[str, str]],
    ) -> Channel:
        with self._lock:
            of_region = [each for each in self._read().values() if each.region == region]
            _check_name(of_region, account, name)
            if len(of_region) >= self._channels_max:
                raise ApiError(
                    "ChannelMaxLimitExceededException",
                    f"{region} has {len(of_region)} channels, limit cloudtrail.channels_max",
                )
            arn = arn_of(region, account, f"channel/{uuid.uuid4()}")
            now_s = self._clock.now_ns() // 1_000_000_000
            channel = Channel(arn, name, SOURCE, destinations, tags, now_s)
            self._write({**self._channels, arn: channel})
            return channel

    def update(
        self, arn: str, name: str | None, destinations: list[dict[str, str]] | None
    ) -> Channel:
        def changed(old: Channel) -> Channel:
            if name is not None and name != old.name:
                others = [each for each in self._channels.values() if each.region == old.region]
                _check_name(others, old.account, name)
            return Channel(
                arn, name or old.name, old.source, destinations or old.destinations, old.tags,
                old.created_at,
            )  # fmt: skip

        return self._change(arn, changed)

    def tag(
        self, arn: str, changed: Callable[[list[dict[str, str]]], list[dict[str, str]]]
    ) -> None:
        """Change its tags."""
        self._change(arn, lambda old: replace(old, tags=changed(old.tags)))

    def delete(self, arn: str) -> None:
        with self._lock:
            if arn not in self._read():
                raise not_found(arn)
            self._write({key: each for key, each in self._channels.items() if key != arn})

    def get(self, arn: str) -> Channel | None:
        with self._lock:
            return self._read().get(arn)

    def list(self, region: str, account: str) -> list[Channel]:
        """By ARN."""
        with self._lock:
            found = [
                each
                for each in self._read().values()
                if each.region == region and each.account == account
            ]
        return sorted(found, key=lambda each: each.arn)

    def _change(self, arn: str, changed: Callable[[Channel], Channel]) -> Channel:
        with self._lock:
            old = self._read().get(arn)
            if old is None:
                raise not_found(arn)
            channel = changed(old)
            self._write({**self._channels, arn: channel})
            return channel

    def _read(self) -> dict[str, Channel]:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._channels, self._seen = {}, None
            return self._channels
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._channels = self._parsed(self.path.read_bytes())
            self._seen = seen
        return self._channels

    def _parsed(self, data: bytes) -> dict[str, Channel]:
        refuse_newer(self.path, data, FORMAT)
        try:
            return {each["arn"]: Channel(**each) for each in json.loads(data)["channels"]}
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(
                f"{self.path}: cannot be read ({error}); bring it back from a backup, or move it "
                "away and make the channels anew"
            ) from error

    def _write(self, channels: dict[str, Channel]) -> None:
        DISK.make_directory(self.directory)
        content: dict[str, Any] = {
            "format": FORMAT,
            "channels": [asdict(each) for each in channels.values()],
        }
        DISK.replace(self.path, json.dumps(content, indent=1).encode())
        self._seen = None


def _check_name(of_region: list[Channel], account: str, name: str) -> None:
    if any(each.name == name and each.account == account for each in of_region):
        raise ApiError("ChannelAlreadyExistsException", f"There is a channel named {name}.")


def not_found(name: str) -> ApiError:
    return ApiError("ChannelNotFoundException", f"There is no channel {name[:300]}.")
