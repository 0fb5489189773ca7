"""`opentrail verify`: is everything that was delivered still there, and as it was?"""

import argparse
import json
import sys

from opentrail.clock import SystemClock
from opentrail.errors import DamagedError, NewerFormatError, OpenTrailError, UsageError
from opentrail_aggregator.archive.destination import DestinationError
from opentrail_aggregator.archive.open_archive import open_destination
from opentrail_aggregator.archive.readers import reading
from opentrail_aggregator.cli.client import home_of
from opentrail_aggregator.cli.settings_of_home import settings_of
from opentrail_aggregator.digest.keys import FileKeys
from opentrail_aggregator.digest.verify import Report, verify

TELL_SECONDS = 0.5


class CannotVerifyError(OpenTrailError):
    """Nothing can be said about the archive."""

    exit_code = 2


def run(options: argparse.Namespace) -> int:
    """0: whole; 1: something is wrong; 2: it could not be looked at."""
    home = home_of(options).absolute()
    if not home.is_dir():
        raise UsageError(f"{home}: there is no aggregator's folder here; name one with --home")
    settings = settings_of(home)
    telling = _Telling()
    try:
        destination = open_destination(settings.place, settings.archive, SystemClock())
        with reading(destination) as contents:
            report = verify(
                settings.place,
                destination,
                FileKeys(settings.place.keys / "digest"),
                SystemClock(),
                prefix=settings.archive.prefix,
                progress=telling.saw,
                contents=contents,
            )
    except (DestinationError, DamagedError, NewerFormatError) as error:
        raise CannotVerifyError(str(error)) from error
    finally:
        telling.end()
    if options.output == "json":
        print(json.dumps(as_json(report), indent=1))
    else:
        for problem in report.problems:
            print(problem)
        for trail, count in sorted(report.unvalidated.items()):
            print(f"{count:,} files of trail {trail}: log file validation is off")
        print(summary(report))
    return 0 if report.is_whole else 1


def as_json(report: Report) -> dict[str, object]:
    """Every figure, and the problems in full."""
    return {
        "whole": report.is_whole,
        "digests": report.digests,
        "chains": report.chains,
        "log_files": report.log_files,
        "waiting_for_a_digest": report.waiting,
        "removed_by_retention": report.removed,
        "without_log_file_validation": report.unvalidated,
        "manifests": report.manifests,
        "events": report.events,
        "problems": report.problems,
    }


def summary(report: Report) -> str:
    """One line."""
    verdict = "whole" if report.is_whole else f"{len(report.problems):,} problems"
    parts = [
        f"{report.digests:,} digests in {report.chains:,} chains",
        f"{report.log_files:,} log files",
        f"{report.manifests:,} manifests",
        f"{report.events:,} events",
    ]
    if report.waiting:
        parts.append(f"{report.waiting:,} files wait for their digest")
    if report.removed:
        parts.append(f"{report.removed:,} removed by retention")
    return f"{verdict}: {', '.join(parts)}"


class _Telling:
    """Progress, for people only."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._count = 0
        self._tell_at = 0.0
        self._told = False

    def saw(self, key: str) -> None:
        self._count += 1
        if sys.stderr.isatty() and self._clock.monotonic() >= self._tell_at:
            self._tell_at = self._clock.monotonic() + TELL_SECONDS
            self._told = True
            line = f"{self._count:,} objects looked at: {key.rpartition('/')[2]}"
            print(f"\r\033[2K{line[:100]}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._told:
            print("\r\033[2K", end="", file=sys.stderr, flush=True)
