"""`opentrail-agent import` and `pipe`: read to the end, send everything, say what came of it.

Both have a spool of their own, so they run beside an agent that follows files, under the same
certificate. Interrupted, they go on when they are called again with the same --state.
"""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentrail.clock import SystemClock
from opentrail.crash import crash_point
from opentrail.errors import UsageError
from opentrail.logs import LoggingSettings, set_up_logs
from opentrail.s3_url import SCHEME
from opentrail_agent.app import run_once
from opentrail_agent.commands.bar import Bar
from opentrail_agent.commands.run import settings_of
from opentrail_agent.config import AgentSettings
from opentrail_agent.importing.cutting import As
from opentrail_agent.importing.files import run_import
from opentrail_agent.importing.progress import ImportProgress, ImportResult
from opentrail_agent.importing.running import run_work
from opentrail_agent.lifecycle import die_with_parent, stop_on_signals
from opentrail_agent.memory import keep_freed_memory
from opentrail_agent.pipe import PipeResult, run_pipe
from opentrail_agent.s3.client import make_client
from opentrail_agent.s3.importing import S3Import
from opentrail_agent.s3.options import client_settings
from opentrail_agent.ship.heartbeat import Report
from opentrail_agent.spool.writer import SpoolWriter

_SKIPPED_MAX = 20
"""Skipped files that are listed one by one."""


@dataclass
class OneSource:
    """What the heartbeats of an import or a pipe say.

    The generation is new for each run: the aggregator tells by it that an import which has ended
    was another one. Nothing is said of a time by which everything was read: that is for agents that
    follow files, and this one may carry the same name.
    """

    name: str
    kind: str
    generation: str = field(default_factory=lambda: secrets.token_hex(16))
    position: int = 0
    size: int = 0
    ended: bool = False

    def report(self) -> Report:
        source: Mapping[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "generation": self.generation,
            "position": self.position,
            "size": max(self.size, self.position),
            "ended": self.ended,
        }
        return Report(0, [source])


def _logging(settings: AgentSettings) -> LoggingSettings:
    """For people, since they call it; at a terminal only what they have to know."""
    return LoggingSettings(level="warning" if sys.stderr.isatty() else settings.logging.level)


def import_files(options: argparse.Namespace) -> int:
    """Send files and folders, each event once."""
    if options.with_parent:
        die_with_parent()
    settings = settings_of(options)
    set_up_logs(_logging(settings), "agent")
    keep_freed_memory()
    of_s3 = [path.startswith(SCHEME) for path in options.paths]
    if any(of_s3) and not all(of_s3):
        raise UsageError("files and s3:// places are imported one after the other, not together")
    missing = [path for path in options.paths if not any(of_s3) and not os.path.exists(path)]
    if missing:
        raise UsageError(f"{missing[0]}: there is no such file or folder")
    state = Path(options.state) if options.state else settings.state / "import"
    names = [path if path.startswith(SCHEME) else os.path.abspath(path) for path in options.paths]
    name = "import:" + ",".join(names)[:200]
    result, is_sent = asyncio.run(_import(settings, state, options, name))
    return _say_import(result, is_sent)


async def _import(
    settings: AgentSettings, state: Path, options: argparse.Namespace, name: str
) -> tuple[ImportResult, bool]:
    stop = asyncio.Event()
    stop_on_signals(stop)
    source = OneSource(name, "import")
    bar = Bar(sys.stderr)

    def progress(now: ImportProgress) -> None:
        source.position, source.size = int(now.bytes_done), now.bytes_total
        bar.reading(now.bytes_done, now.bytes_total, now.events, now.refused, now.path)

    async def read(spool: SpoolWriter) -> ImportResult:
        result = await _read(settings, state, options, spool, progress, stop)
        source.ended = result.is_complete
        source.position = source.size
        return result

    outcome = await run_once(settings, state, read, source.report, bar.sending, stop, SystemClock())
    bar.close()
    return outcome


async def _read(
    settings: AgentSettings,
    state: Path,
    options: argparse.Namespace,
    spool: SpoolWriter,
    progress: Callable[[ImportProgress], None],
    stop: asyncio.Event,
) -> ImportResult:
    account = options.account or settings.account
    region = options.region or settings.region
    if not options.paths[0].startswith(SCHEME):
        return await run_import(
            [Path(path) for path in options.paths], spool.keep, state, progress, stop,
            account=account, region=region, redact=options.redact,
        )  # fmt: skip
    clock = SystemClock()
    try:
        asked = client_settings(options)
    except ValueError as error:
        raise UsageError(f"--s3-{error}") from error
    taken_for = As(account=account, region=region, redact=options.redact)
    client = make_client(asked)
    work = S3Import(options.paths, client, asked.workers, state, taken_for, clock)
    return await run_work(work, spool.keep, progress, stop, clock, crash_point)


def _say_import(result: ImportResult, is_sent: bool) -> int:
    for path, reason in result.failed:
        print(f"{path}: not imported: {reason}", file=sys.stderr)
    for path, reason in result.skipped[:_SKIPPED_MAX]:
        print(f"{path}: skipped: {reason}; to import it all the same, name it", file=sys.stderr)
    if len(result.skipped) > _SKIPPED_MAX:
        print(f"... and {len(result.skipped) - _SKIPPED_MAX} more", file=sys.stderr)
    for path in result.changed:
        print(f"{path}: changed while it was read; import it again", file=sys.stderr)
    said = f"{result.files} files, {result.events} events"
    if result.refused:
        said += f", {result.refused} refused (see: opentrail quarantine list)"
    if result.already:
        said += f"; {result.already} files had been imported before"
    if result.left_out:
        said += f"; {result.left_out} digests and manifests left out"
    if result.skipped:
        said += f"; {len(result.skipped)} files skipped that are no JSON"
    print(said)
    if not (result.is_complete and is_sent):
        print("interrupted; give the same command again to go on", file=sys.stderr)
        return 1
    return 1 if result.failed else 0


def pipe(options: argparse.Namespace) -> int:
    """Send what comes on standard input."""
    if options.with_parent:
        die_with_parent()
    settings = settings_of(options)
    set_up_logs(_logging(settings), "agent")
    keep_freed_memory()
    state = Path(options.state) if options.state else settings.state / "pipe"
    result, is_sent = asyncio.run(_pipe(settings, state, options))
    print(f"{result.events} events, {result.refused} refused", file=sys.stderr)
    if not is_sent:
        print(f"not all is sent; {state} keeps the rest for the next pipe", file=sys.stderr)
    return 0 if result.is_complete and is_sent else 1


async def _pipe(
    settings: AgentSettings, state: Path, options: argparse.Namespace
) -> tuple[PipeResult, bool]:
    stop = asyncio.Event()
    stop_on_signals(stop)
    source = OneSource(f"pipe:{options.name}", "pipe")
    bar = Bar(sys.stderr)

    async def read(spool: SpoolWriter) -> PipeResult:
        result = await run_pipe(
            sys.stdin.fileno(),
            spool.keep,
            stop,
            notify=lambda text: print(text, file=sys.stderr),
            name=options.name,
            account=options.account or settings.account,
            region=options.region or settings.region,
            redact=options.redact,
        )
        source.ended = result.is_complete
        source.position = result.bytes_read
        bar.is_sending = True
        return result

    outcome = await run_once(settings, state, read, source.report, bar.sending, stop, SystemClock())
    bar.close()
    return outcome
