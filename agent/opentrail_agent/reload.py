"""SIGHUP: the configuration is read again and taken up whole, or not at all.

A wrong file changes nothing: the old configuration runs on, and the reason is in the log, in the
counter `opentrail_agent_reloads_total{outcome}` and in the problem `config.reload` until a later
one is right. A right one replaces all stages at once; what was captured is in the spool by then,
and what was under way is done again. If it cannot run (its first seconds fail), the old one is
taken up once more.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from opentrail.clock import Clock
from opentrail.errors import ConfigError, OpenTrailError
from opentrail_agent.config import AgentSettings
from opentrail_agent.metrics import Metrics

PROBATION_SECONDS = 5.0
"""What fails within this after a reload is blamed on the new configuration."""
_log = logging.getLogger(__name__)

Run = Callable[[AgentSettings, asyncio.Event, Metrics], Awaitable[None]]


class Reloading:
    """Runs the agent under one configuration after another."""

    def __init__(
        self,
        settings: AgentSettings,
        load: Callable[[], AgentSettings],
        run: Run,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        """In force."""
        self._load = load
        self._run = run
        self._clock = clock
        self._metrics = metrics
        self.asked = asyncio.Event()

    def on_hangup(self) -> None:
        """Let SIGHUP ask for a reload."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.asked.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; raises what made the agent fail."""
        before: AgentSettings | None = None
        while True:
            leave = asyncio.Event()
            began = self._clock.monotonic()
            running = asyncio.ensure_future(self._run(self.settings, leave, self._metrics))
            try:
                after = await self._until_over(running, stop)
                leave.set()
                await running
            except (OpenTrailError, OSError) as error:
                if before is None or self._clock.monotonic() - began > PROBATION_SECONDS:
                    raise
                self._refused(f"it cannot run: {error}")
                self.settings, before = before, None
                continue
            finally:
                running.cancel()
            if after is None:
                return
            before, self.settings = self.settings, after
            self._metrics.increment("opentrail_agent_reloads_total", outcome="applied")
            self._metrics.healed("config.reload")
            _log.info("the configuration was read again and is in force")

    async def _until_over(
        self, running: "asyncio.Future[None]", stop: asyncio.Event
    ) -> AgentSettings | None:
        """Wait for an end or for a configuration that can be taken up; None is an end."""
        while True:
            waits: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(each.wait()) for each in (stop, self.asked)
            ]
            try:
                await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
            if running.done() or stop.is_set():
                return None
            self.asked.clear()
            try:
                return await asyncio.to_thread(self._checked)
            except (OpenTrailError, OSError) as error:
                self._refused(str(error))

    def _checked(self) -> AgentSettings:
        """The configuration as it is now; an error says why it is not taken."""
        found = self._load()
        for name, old, new in (
            ("name", self.settings.name, found.name),
            ("state", self.settings.state, found.state),
            ("spool.directory", self.settings.spool_directory, found.spool_directory),
        ):
            if old != new:
                raise ConfigError(
                    f"{name}: {old} cannot become {new} while the agent runs: what waits in the "
                    "spool belongs to it; stop the agent, then start it"
                )
        found.ship.tls.certificates().read()
        return found

    def _refused(self, why: str) -> None:
        self._metrics.increment("opentrail_agent_reloads_total", outcome="refused")
        self._metrics.problem("config.reload", f"{why}; the configuration before runs on")
