"""`opentrail digest now`: cut what is open, deliver it, and sign a digest of every chain."""

import argparse

from opentrail.clock import SystemClock
from opentrail.errors import LockedError, OpenTrailError, UsageError
from opentrail.files import FileLock
from opentrail_aggregator.cli.client import NoAnswerError, home_of
from opentrail_aggregator.digest.requests import is_done, remove_request, request_now
from opentrail_aggregator.digest.state import ChainFolder
from opentrail_aggregator.home import Home

POLL_SECONDS = 0.1


def now(options: argparse.Namespace) -> int:
    """Ask the archive's process through the home folder, and wait."""
    path = home_of(options).absolute()
    if not path.is_dir():
        raise UsageError(f"{path}: there is no aggregator's folder here; name one with --home")
    home, clock = Home(path), SystemClock()
    _refuse_if_nobody_works(home)
    before = _heads(home)
    request = request_now(home, clock)
    until = clock.monotonic() + options.wait
    while not is_done(home, request):
        if clock.monotonic() >= until:
            remove_request(home, request)
            raise OpenTrailError(
                f"no digest within {options.wait:g} s: the archive is busy or its destination is "
                "away; `opentrail status` says which; or give --wait more seconds"
            )
        clock.pause(POLL_SECONDS)
    for chain, key in sorted(_heads(home).items(), key=lambda item: item[1]):
        if before.get(chain) != key:
            print(key)
    return 0


def _heads(home: Home) -> dict[str, str]:
    return {
        chain.name: f"{chain.head.bucket}/{chain.head.key}"
        for chain in ChainFolder(home.digest).read_all()
        if chain.head is not None
    }


def _refuse_if_nobody_works(home: Home) -> None:
    lock = FileLock(home.run / "locks" / "archive.lock")
    try:
        lock.acquire()
    except LockedError:
        return  # As it should be: the archive's process has it.
    lock.release()
    raise NoAnswerError(
        f"no aggregator works in {home.path}: start it with `opentrail up`, or name another home "
        "with --home"
    )
