"""`opentrail-agent run` and `validate`."""

import argparse
import asyncio
import logging
from pathlib import Path

from opentrail import __version__
from opentrail.clock import SystemClock
from opentrail.logs import set_up_logs
from opentrail.settings import describe_settings, load_settings
from opentrail_agent.app import run_agent
from opentrail_agent.config import DEFAULT_PATH, AgentSettings
from opentrail_agent.lifecycle import die_with_parent, stop_on_signals
from opentrail_agent.memory import keep_freed_memory
from opentrail_agent.metrics import Metrics
from opentrail_agent.reload import Reloading

_log = logging.getLogger(__name__)


def settings_of(options: argparse.Namespace) -> AgentSettings:
    """The settings of --config, of the environment and of --set."""
    path = Path(options.config) if options.config else DEFAULT_PATH
    overrides = dict(each.partition("=")[::2] for each in options.set)
    return load_settings(AgentSettings, path, overrides=overrides)


def run(options: argparse.Namespace) -> int:
    """Run until a signal."""
    if options.with_parent:
        die_with_parent()
    settings = settings_of(options)
    clock = SystemClock()
    metrics = Metrics(clock)
    _set_up_logs(settings, metrics)
    keep_freed_memory()
    log_settings(settings)
    asyncio.run(_run(settings, options, clock, metrics))
    _log.info("stopped; the next start goes on from here")
    return 0


async def _run(
    settings: AgentSettings, options: argparse.Namespace, clock: SystemClock, metrics: Metrics
) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)

    async def run_once(found: AgentSettings, leave: asyncio.Event, metrics: Metrics) -> None:
        _set_up_logs(found, metrics)  # A reload may have changed them.
        await run_agent(found, leave, clock, metrics)

    reloading = Reloading(settings, lambda: settings_of(options), run_once, clock, metrics)
    reloading.on_hangup()
    await reloading.run(stop)


def _set_up_logs(settings: AgentSettings, metrics: Metrics) -> None:
    def on_held(logger: str) -> None:
        metrics.increment("opentrail_agent_lines_held_total", logger=logger)

    set_up_logs(settings.logging, "agent", {"agent": settings.name}, on_held)


def log_settings(settings: AgentSettings) -> None:
    """Say once what is in force."""
    _log.info(
        "opentrail-agent %s, name %s, state %s, spool up to %d bytes, watching %s, sending to %s",
        __version__,
        settings.name,
        settings.state,
        settings.spool.max_bytes,
        ", ".join(each.path for each in settings.capture.watch) or "nothing",
        ", ".join(settings.ship.addresses),
    )


def validate(options: argparse.Namespace) -> int:
    """Read the configuration and say whether it can be used."""
    settings = settings_of(options)
    certificates = settings.ship.tls.certificates()
    certificates.read()
    print(f"{options.config or DEFAULT_PATH}: can be used by an agent named {settings.name}")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print every setting with its meaning."""
    for doc in describe_settings(AgentSettings):
        print(f"{doc.path} ({doc.type}, default {doc.default}, {doc.environment})")
        print(f"    {doc.meaning}")
    return 0
