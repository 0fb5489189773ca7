"""`opentrail-aggregator rebuild` and its words; `opentrail index rebuild` comes here, too, when its
home has no log.
"""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentrail.clock import SystemClock
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.supervise.lock import acquire_lock

if TYPE_CHECKING:
    from opentrail_aggregator.rebuild.rebuild import Outcome, Progress
    from opentrail_aggregator.wal.lineage import KnownAgent

TELL_SECONDS = 1.0
_AGENTS_SHOWN = 200
_NAMES_SHOWN = 20


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    settings_of: Callable[[argparse.Namespace], AggregatorSettings],
) -> argparse.ArgumentParser:
    """The command, without the options that name a configuration."""
    text = "make a lost home again from the archive; then `run`"
    parser: argparse.ArgumentParser = commands.add_parser("rebuild", help=text, description=text)
    parser.add_argument("--log", default="", metavar="ID",
                        help="the lost log, where an archive holds several histories")  # fmt: skip
    parser.set_defaults(
        function=lambda options: run_rebuild(settings_of(options), log_id=options.log)
    )
    return parser


def run_rebuild(settings: AggregatorSettings, *, log_id: str = "") -> int:
    """Rebuild the home of `settings` and say what came of it."""
    # Only here: the supervisor, which names this command too, stays small.
    from opentrail_aggregator.archive.open_archive import open_destination
    from opentrail_aggregator.rebuild.rebuild import Outcome, rebuild

    clock, home = SystemClock(), settings.place
    home.run.mkdir(parents=True, exist_ok=True)
    lock = acquire_lock(home.run / "locks" / "supervisor.lock", clock, 0.0)
    try:
        destination = open_destination(home, settings.archive, clock)
        tell_at = 0.0
        for each in rebuild(home, settings.archive, destination, clock, log_id=log_id):
            if isinstance(each, Outcome):
                _end_line()
                print("\n".join(described(each, destination.bucket)))
            elif sys.stderr.isatty() and clock.monotonic() >= tell_at:
                tell_at = clock.monotonic() + TELL_SECONDS
                print(f"\r\033[2K{_line(each)}", end="", file=sys.stderr, flush=True)
    finally:
        lock.release()
    return 0


def described(outcome: "Outcome", bucket: str) -> list[str]:
    """What an operator has to know: what is back, what may be missing, what comes next."""
    lineage = outcome.lineage
    lines = [
        f"rebuilt from {bucket}: {lineage.kept:,} events in {outcome.objects:,} objects are known "
        f"again; log {lineage.log_id} follows {', '.join(lineage.follows)} and begins at position "
        f"{lineage.first_position}",
        _missing_from(lineage.archived_until_ns),
    ]
    lines += [_of_agent(each) for each in lineage.agents[:_AGENTS_SHOWN]]
    if len(lineage.agents) > _AGENTS_SHOWN:
        lines.append(f"  and {len(lineage.agents) - _AGENTS_SHOWN} more: HOME/log/lineage.json")
    if outcome.doubled:
        lines.append(
            f"{outcome.doubled:,} events lie in the archive more than once; none will come again"
        )
    lines += [f"not there, or cannot be read: {each}" for each in outcome.gaps[:_NAMES_SHOWN]]
    lines += [
        f"{each}: no manifest names this object, its delivery was cut off; its events are not "
        "counted, and archived anew if their agents still hold them"
        for each in outcome.orphans[:_NAMES_SHOWN]
    ]
    if outcome.aside:
        lines.append(f"what was left of the lost log lies in {outcome.aside}; nothing reads it")
    lines.append(
        "start the aggregator now: agents send again what they hold, and the index is filled from "
        "the archive; quarantined items were not in it"
    )
    return lines


def _missing_from(until_ns: int) -> str:
    if not until_ns:
        return "from which time on events may be missing is not told by this archive"
    from opentrail_aggregator.archive.keys import time_text

    return (
        f"everything that arrived until {time_text(until_ns // 1_000_000_000)} is archived; what "
        "arrived later may be missing, as far as agents do not hold it any more:"
    )


def _of_agent(each: "KnownAgent") -> str:
    return (
        f"  agent {each.agent}, epoch {each.epoch}: from batch {each.archived_through + 1} on "
        f"(the last one heard of is {each.consolidated_through})"
    )


def _line(progress: "Progress") -> str:
    if progress.stage == "survey":
        return f"reading manifests: {progress.done:,}"
    if progress.stage == "digests":
        return f"reading digests: {progress.done:,}"
    return f"reading records: {progress.done:,} of {progress.total:,}"


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
