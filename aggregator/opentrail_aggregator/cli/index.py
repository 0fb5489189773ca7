"""`opentrail index rebuild`: make the searchable copy anew, beside the old one."""

import argparse
import sys

from opentrail.clock import SystemClock
from opentrail.errors import UsageError
from opentrail_aggregator.archive_source import ArchivedEvents
from opentrail_aggregator.cli.client import home_of
from opentrail_aggregator.cli.settings_of_home import settings_of
from opentrail_aggregator.home import Home
from opentrail_aggregator.index.rebuild import Progress, Rebuild
from opentrail_aggregator.rebuild.command import run_rebuild
from opentrail_aggregator.rebuild.remains import holds_a_log

TELL_SECONDS = 1.0


def rebuild(options: argparse.Namespace) -> int:
    """Works on the home itself; searches are answered by the old generation until the switch."""
    home = home_of(options).absolute()
    if options.origin == "archive" and not holds_a_log(Home(home)):
        # The disk is lost: the log that the index would follow has to be there first.
        return run_rebuild(settings_of(home))
    if not (home / "log").is_dir():
        raise UsageError(f"{home}: there is no aggregator's folder here; name one with --home")
    settings = settings_of(home)
    clock = SystemClock()
    work = Rebuild(
        settings.place,
        settings,
        clock,
        source=options.origin,
        archive=ArchivedEvents(settings),
    )
    tell_at = 0.0
    last: Progress | None = None
    for last in work.run():
        if sys.stderr.isatty() and clock.monotonic() >= tell_at:
            tell_at = clock.monotonic() + TELL_SECONDS
            print(f"\r\033[2K{_line(last)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if last is not None:
        print(f"rebuilt from the {options.origin}: {last.events:,} events, in use from now on")
        if last.missing:
            print(
                f"{last.missing:,} events that were kept once are in neither the archive nor the "
                "log and cannot be brought back; status counts them as missing"
            )
    return 0


def _line(progress: Progress) -> str:
    if progress.stage == "archive":
        return f"reading the archive: {progress.events:,} events"
    return f"reading the log: position {progress.position:,} of {progress.through:,}"
