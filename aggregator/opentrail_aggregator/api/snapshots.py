"""Reads HOME/run/status/ROLE.json of every role, tolerant of what is missing or half there."""

import logging
import os
from pathlib import Path
from typing import Any

import orjson

_log = logging.getLogger(__name__)
SIZE_MAX = 4 * 1024 * 1024


def read_snapshots(directory: Path) -> dict[str, dict[str, Any]]:
    """The last snapshot of each role that ever wrote one."""
    found: dict[str, dict[str, Any]] = {}
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return found
    for name in names:
        role, dot, ending = name.rpartition(".")
        if not dot or ending != "json":
            continue
        try:
            with open(directory / name, "rb") as file:
                snapshot = orjson.loads(file.read(SIZE_MAX))
            # A snapshot without these says nothing about its process.
            float(snapshot["monotonic"]), int(snapshot["at_ns"])
            snapshot["metrics"], snapshot["problems"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s: not a status snapshot: %s", directory / name, error)
            continue
        found[role] = snapshot
    return found
