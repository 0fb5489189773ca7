"""When the archive last delivered for a trail, told by its own stores; and since when `default` is
there.

    HOME/trails/default.json   {"format": 1, "started_at": seconds}     written once

The last manifest of a trail's chain says when it was cut and delivered; digests by their chains.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail.files import DISK
from opentrail.formats import refuse_newer
from opentrail_aggregator.api.snapshots import read_snapshots
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.staging.store import read_current
from opentrail_aggregator.cloudtrail.trails import Delivered
from opentrail_aggregator.digest.state import ChainFolder
from opentrail_aggregator.home import Home

FORMAT = 1
_log = logging.getLogger(__name__)


class Deliveries:
    """Asked from any thread; opens one small file per question, and a manifest when it is new."""

    def __init__(self, home: Home, catalog: Catalog) -> None:
        self._home = home
        self._catalog = catalog
        self._last: dict[str, tuple[str, float]] = {}

    def __call__(self, trail_arn: str) -> Delivered:
        problems = read_snapshots(self._home.run / "status").get("archive", {}).get("problems", [])
        return Delivered(
            delivered_s=self._delivered_s(trail_arn),
            delivery_error=_error(problems, "archive"),
            digest_s=self._digest_s(trail_arn),
            digest_error=_error(problems, "digest"),
        )

    def _delivered_s(self, trail_arn: str) -> float:
        last = self._last.get(trail_arn, ("", 0.0))
        try:
            current = read_current(self._home.staging)
            heads = current.state.get("chains", {}) if current is not None else {}
            key = str(heads.get(trail_arn, {}).get("key", ""))
            if key and key != last[0]:
                cut = self._catalog.summary(key).cut
                last = self._last[trail_arn] = (key, cut.delivered_at_ns // 1_000_000 / 1000)
        except (OpenTrailError, OSError) as error:
            # The newest is still on its way: what was delivered before it is the last.
            _log.info("the last delivery cannot be read now: %s", error)
        return last[1]

    def _digest_s(self, trail_arn: str) -> float:
        try:
            chains = list(ChainFolder(self._home.digest).read_all())
        except (OpenTrailError, OSError) as error:
            _log.info("the last digest cannot be read now: %s", error)
            return 0.0
        return max(
            (
                float(each.head.end_s)
                for each in chains
                if each.head is not None and each.trail == trail_arn
            ),
            default=0.0,
        )


def default_started_s(path: Path, clock: Clock) -> int:
    """When this home was first served, noted at the first question; NewerFormatError."""
    try:
        content = path.read_bytes()
        refuse_newer(path, content, FORMAT)
        return int(json.loads(content)["started_at"])
    except FileNotFoundError:
        now_s = clock.now_ns() // 1_000_000_000
        DISK.make_directory(path.parent)
        DISK.replace(path, json.dumps({"format": FORMAT, "started_at": now_s}).encode())
        return now_s
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s: cannot be read (%s); the trail's start is not told", path, error)
        return 0


def _error(problems: list[Mapping[str, Any]], room: str) -> str:
    texts = [str(each["text"]) for each in problems if str(each["key"]).startswith(f"{room}.")]
    return texts[0][:1024] if texts else ""
