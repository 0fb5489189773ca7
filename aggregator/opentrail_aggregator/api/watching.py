"""Health and metrics over HTTP: for load balancers, Prometheus and people."""

from aiohttp import web

from opentrail.clock import Clock
from opentrail_aggregator.api.answers import json_answer
from opentrail_aggregator.api.health import Health, judge
from opentrail_aggregator.api.prometheus import CONTENT_TYPE, render
from opentrail_aggregator.api.snapshots import read_snapshots
from opentrail_aggregator.api.times import iso_time
from opentrail_aggregator.home import Home
from opentrail_aggregator.metrics import Metrics


class WatchHandlers:
    """Answers from the snapshots that the roles publish; this process's own is always fresh."""

    def __init__(self, home: Home, clock: Clock, lag_max_seconds: float, own: Metrics) -> None:
        self._directory = home.run / "status"
        self._clock = clock
        self._lag_max_seconds = lag_max_seconds
        self._own = own
        self.stopping = False

    async def live(self, request: web.Request) -> web.StreamResponse:
        """`GET /health/live`: this process answers."""
        return web.Response(text="live\n")

    async def ready(self, request: web.Request) -> web.StreamResponse:
        """`GET /health/ready`: agents may send."""
        is_ready = self.health()[1].ready and not self.stopping
        return web.Response(
            text="ready\n" if is_ready else "unready\n", status=200 if is_ready else 503
        )

    async def delivery(self, request: web.Request) -> web.StreamResponse:
        """`GET /health/delivery`: nothing stands still and nothing waits too long."""
        health = self.health()[1]
        body = {
            "delivery": health.delivery,
            "roles": dict(health.up),
            "problems": problems_of(health),
        }
        return json_answer(body, 200 if health.delivery else 503)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """`GET /metrics`."""
        snapshots, health = self.health()
        return web.Response(
            body=render(snapshots, health).encode(), headers={"Content-Type": CONTENT_TYPE}
        )

    def health(self) -> tuple[dict[str, dict[str, object]], Health]:
        """Snapshots and what follows from them."""
        snapshots = read_snapshots(self._directory)
        snapshots[self._own.role] = self._own.snapshot()
        now = self._clock.monotonic()
        return snapshots, judge(snapshots, now, self._clock.now_ns(), self._lag_max_seconds)


def problems_of(health: Health) -> list[dict[str, object]]:
    """The problems as answers show them."""
    return [
        {
            "role": each.role,
            "key": each.key,
            "text": each.text,
            "alarm": each.is_alarm,
            "since": iso_time(each.since_ns // 1_000_000_000),
        }
        for each in health.problems
    ]
