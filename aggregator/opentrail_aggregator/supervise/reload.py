"""SIGHUP: the aggregator's configuration is read again and taken up whole, or not at all.

Processes never read the person's file: they read a copy in HOME/run/config, so that one which is
started again in the middle of an edit comes up as the others. A reload checks the file, replaces
the copy, and

    only grants changed      asks ingest to take them up; no stream notices
    anything else changed    ends all processes in order and starts them again; agents wait

If one of them does not live through its first seconds, the copy before comes back, and so do they.
The reason is in the log, in `opentrail_config_reloads_total{outcome}` and in the problem
`config.reload` until a later reload is right.
"""

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path

from opentrail.clock import Clock
from opentrail.errors import ConfigError, OpenTrailError
from opentrail.files import DISK
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.supervise.child import Ended
from opentrail_aggregator.supervise.supervisor import Supervisor

PROBATION_SECONDS = 8.0
COPY = "aggregator.yaml"


class Reloader:
    """Of one supervisor. `load` reads a file as the command line says, and checks it."""

    def __init__(
        self,
        path: Path,
        directory: Path,
        settings: AggregatorSettings,
        load: Callable[[Path], AggregatorSettings],
        clock: Clock,
        metrics: Metrics,
        say: Callable[[str], None],
    ) -> None:
        self._path = path
        self.copy = directory / COPY
        self._settings = settings
        self._load = load
        self._clock = clock
        self._metrics = metrics
        self._say = say
        self._before: tuple[bytes, AggregatorSettings] | None = None
        """What comes back if the new processes do not live."""
        self._until = 0.0
        self._failed = ""
        self.asked = False
        directory.mkdir(parents=True, exist_ok=True)
        DISK.replace_volatile(self.copy, path.read_bytes())
        metrics.increment("opentrail_config_reloads_total", 0, outcome="applied")
        metrics.increment("opentrail_config_reloads_total", 0, outcome="refused")

    @property
    def settings(self) -> AggregatorSettings:
        """In force, or on probation."""
        return self._settings

    def ended(self, ended: Ended) -> None:
        """A process ended unasked: within the probation it is the new configuration's fault."""
        if self._before is not None and not self._failed:
            self._failed = str(ended)

    def look(self, supervisor: Supervisor) -> None:
        """Do what was asked for, and judge what was done."""
        if self._before is not None:
            self._judge(supervisor)
        elif self.asked:
            self.asked = False
            self._reload(supervisor)

    def _reload(self, supervisor: Supervisor) -> None:
        try:
            content, found = self._checked()
        except (OpenTrailError, OSError) as error:
            self._refused(str(error))
            return
        before = (self.copy.read_bytes(), self._settings)
        DISK.replace_volatile(self.copy, content)
        self._settings = found
        if found == before[1]:
            self._applied("nothing had changed")
        elif _without_grants(found) == _without_grants(before[1]):
            for child in supervisor.children:
                if "ingest" in child.spec.name.split("+"):
                    child.signal(signal.SIGHUP)
            self._applied("grants are in force")
        else:
            self._before, self._failed = before, ""
            self._until = self._clock.monotonic() + PROBATION_SECONDS
            supervisor.forgives = True
            self._say("the configuration changed: all processes begin anew")
            supervisor.restart()

    def _judge(self, supervisor: Supervisor) -> None:
        assert self._before is not None
        if self._failed:
            content, self._settings = self._before
            DISK.replace_volatile(self.copy, content)
            self._refused(f"its processes do not run: {self._failed}")
            supervisor.restart()
        elif self._clock.monotonic() < self._until:
            return
        else:
            self._applied("all processes run under it")
        self._before = None
        supervisor.forgives = False

    def _checked(self) -> tuple[bytes, AggregatorSettings]:
        content = self._path.read_bytes()
        candidate = self.copy.with_name("candidate.yaml")
        DISK.replace_volatile(candidate, content)
        try:
            found = self._load(candidate)
        except OpenTrailError as error:
            raise ConfigError(str(error).replace(str(candidate), str(self._path))) from None
        if found.home.absolute() != self._settings.home.absolute():
            raise ConfigError(
                f"{self._path}: home: {self._settings.home} cannot become {found.home} while the "
                "aggregator runs; stop it, then start it"
            )
        if found.indexes != self._settings.indexes:
            raise ConfigError(
                f"{self._path}: index.engine: other processes have to run; stop the aggregator, "
                "then start it"
            )
        return content, found

    def _applied(self, what: str) -> None:
        self._metrics.increment("opentrail_config_reloads_total", outcome="applied")
        self._metrics.healed("config.reload")
        self._say(f"the configuration was read again: {what}")

    def _refused(self, why: str) -> None:
        self._metrics.increment("opentrail_config_reloads_total", outcome="refused")
        text = f"{why}; the configuration before runs on"
        self._metrics.problem("config.reload", text)
        self._say(f"the configuration is not taken up: {text}")


def _without_grants(settings: AggregatorSettings) -> AggregatorSettings:
    return dataclasses.replace(
        settings,
        ingest=dataclasses.replace(settings.ingest, grants=()),
        identity=dataclasses.replace(settings.identity, grants=(), shared=(), uri_prefixes=()),
    )
