"""Wishes from other processes: a digest now, or the end of a trail's chains.

    HOME/digest/requests/NAME.json     removed when it is done

`now` cuts what is open, waits for its delivery and closes every window there. `end` (StopLogging,
DeleteTrail) writes the final digests of a trail up to the moment given.
"""

from pathlib import Path

import msgspec

from opentrail.clock import Clock
from opentrail.errors import DamagedError
from opentrail.files import DISK, Files
from opentrail.formats import refuse_newer
from opentrail_aggregator.home import Home

_SUFFIX = ".json"
_FORMAT = 1
_SECOND = 1_000_000_000


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """One wish. Everything delivered before `at_s` is meant; 0: not decided yet."""

    format: int = _FORMAT
    name: str
    kind: str
    """now or end."""
    trail: str = ""
    """The ARN of the trail that ends."""
    at_s: int = 0


def request_now(home: Home, clock: Clock, files: Files = DISK) -> str:
    """Ask for digests now; the name of the request."""
    return _write(home, Request(name=f"now-{clock.now_ns()}", kind="now"), files)


def request_end(home: Home, trail: str, at_ns: int, files: Files = DISK) -> str:
    """Ask for the final digests of a trail that stopped at `at_ns` (its cuts were made then)."""
    request = Request(
        name=f"end-{at_ns}-{trail.rpartition('/')[2]}", kind="end", trail=trail,
        at_s=at_ns // _SECOND + 1,
    )  # fmt: skip
    return _write(home, request, files)


def is_done(home: Home, name: str, files: Files = DISK) -> bool:
    """Whether the request was carried out."""
    return not files.exists(_path(home, name))


def read_requests(home: Home, files: Files = DISK) -> list[Request]:
    """What is wished for, oldest first."""
    found = []
    for name in files.list(home.digest / "requests"):
        if not name.endswith(_SUFFIX):
            continue
        path = home.digest / "requests" / name
        try:
            content = files.read(path, 0, files.size(path))
            refuse_newer(path, content, _FORMAT)
            found.append(msgspec.json.decode(content, type=Request))
        except msgspec.MsgspecError as error:
            raise DamagedError(f"{path}: is no request ({error}); remove it") from error
    return found


def remove_request(home: Home, name: str, files: Files = DISK) -> None:
    """It is done."""
    files.unlink(_path(home, name))


def _write(home: Home, request: Request, files: Files) -> str:
    path = _path(home, request.name)
    files.make_directory(path.parent)
    files.replace(path, msgspec.json.encode(request))
    return request.name


def _path(home: Home, name: str) -> Path:
    return home.digest / "requests" / f"{name}{_SUFFIX}"
