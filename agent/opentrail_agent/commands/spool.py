"""`opentrail-agent spool status|dump|check|rehome`: the spool is no black box."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from opentrail.batch import BatchError, batch_events, batch_refused, batch_sources
from opentrail.clock import SystemClock
from opentrail.errors import LockedError
from opentrail.files import FileLock
from opentrail.segment.frame import Damage, Frame
from opentrail_agent.commands.run import settings_of
from opentrail_agent.spool.aside import kept_aside
from opentrail_agent.spool.inspect import Look, check, entries, look
from opentrail_agent.spool.spool import LOCK, Spool

FRESH_SECONDS = 30.0


def directory_of(options: argparse.Namespace) -> Path:
    if options.spool:
        return Path(options.spool)
    return settings_of(options).spool_directory


def status(options: argparse.Namespace) -> int:
    """What waits, for which log, and how the agent is."""
    directory = directory_of(options)
    found = look(directory)
    running = _running(directory.parent / "status.json")
    if options.output == "json":
        print(json.dumps({"spool": _row(directory, found), "agent": running}, indent=2))
        return 0
    row = _row(directory, found)
    print(f"spool      {directory}")
    print(f"waiting    {row['waiting']} batches, {found.bytes:,} bytes in {found.segments} files")
    print(f"sent       through number {row['acknowledged_through']} of epoch {row['epoch']}")
    print(f"log        {row['log'] or 'none yet'}")
    for problem in found.problems:
        print(f"problem    {problem}")
    for kept in kept_aside(directory):
        print(f"set aside  {kept.describe()}")
    if running is None:
        print("agent      not running, or its status is older than 30 s")
        return 0
    connected = running["figures"].get("opentrail_agent_connected")
    print(f"agent      {running['agent']}, process {running['pid']}, "
          f"{'connected' if connected else 'NOT connected'}")  # fmt: skip
    for problem in running["problems"]:
        print(f"problem    {problem['key']}: {problem['text']}")
    return 0


def _row(directory: Path, found: Look) -> dict[str, Any]:
    standing = found.standing
    return {
        "directory": str(directory),
        "epoch": standing.epoch.hex() if standing else "",
        "log": standing.log_id if standing else "",
        "acknowledged_through": standing.acknowledged_through if standing else 0,
        "last_sequence": standing.sequence(found.last) if standing else found.last,
        "waiting": found.waiting,
        "bytes": found.bytes,
        "segments": found.segments,
        "problems": found.problems,
        "set_aside": [
            {"path": str(kept.path)} | msgspec.structs.asdict(kept.told)
            for kept in kept_aside(directory)
        ],
    }


def _running(path: Path) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    age = (SystemClock().now_ns() - known["at_ns"]) / 1e9
    return known if age < FRESH_SECONDS else None


def dump(options: argparse.Namespace) -> int:
    """One line for each batch, or its records."""
    directory = directory_of(options)
    found = look(directory)
    acknowledged = found.standing.acknowledged if found.standing else 0
    for entry in entries(directory, found):
        if isinstance(entry, Damage):
            print(f"{entry.path}: positions {entry.first} to {entry.last}: {entry.reason}",
                  file=sys.stderr)  # fmt: skip
            continue
        if entry.position <= acknowledged and not options.all:
            continue
        _dump(entry, found, options)
    return 0


def _dump(entry: Frame, found: Look, options: argparse.Namespace) -> None:
    try:
        if options.events:
            sys.stdout.buffer.write(batch_events(entry.payload))
            sys.stdout.buffer.flush()
            return
        sources = {run.source for run in batch_sources(entry.payload)}
        reasons = sorted({item.reason for item in batch_refused(entry.payload)})
    except BatchError as error:
        print(f"position {entry.position}: {error}", file=sys.stderr)
        return
    sequence = found.standing.sequence(entry.position) if found.standing else entry.position
    line = f"{sequence:>10}  {len(entry.payload):>9} bytes  {entry.events:>6} events"
    if entry.refused:
        line += f"  {entry.refused} refused ({', '.join(reasons)})"
    print(f"{line}  {', '.join(sorted(sources))}")


def check_all(options: argparse.Namespace) -> int:
    """Read every byte; 1 if something is damaged."""
    directory = directory_of(options)
    result = check(directory, look(directory))
    print(f"{result.batches} batches, {result.events} events, {result.refused} refused; "
          f"{result.damaged} batches cannot be read")  # fmt: skip
    for problem in result.problems:
        print(problem)
    if result.damaged:
        print("intact batches are sent; each damaged one is reported as spool_damage")
    return 1 if result.problems else 0


def rehome(options: argparse.Namespace) -> int:
    """Let the spool go to another log: what waits is sent to whichever welcomes it next."""
    directory = directory_of(options)
    found = look(directory)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire()
    except LockedError as error:
        raise LockedError(f"{error}; stop the agent first") from None
    try:
        spool = Spool(directory, SystemClock())
        previous = spool.standing.log_id
        # The new log knows nothing of the numbers before these: they begin anew.
        spool.begin_epoch(after=spool.standing.acknowledged)
        spool.bind("")
        spool.close()
    finally:
        lock.release()
    print(f"{found.waiting} batches that waited for the log {previous or '(none)'} go to the log "
          "that this agent connects to next")  # fmt: skip
    return 0
