"""`opentrail-aggregator wal`: look inside the log, without or beside a running aggregator.

    status    where it begins and ends, how large it is, how far its readers are
    dump      its frames, one line each (or as JSON)
    check     read all of it; exit code 1 if anything is not as it should be
    repair    the plan; with --apply, after the aggregator was stopped, carry it out

It never changes anything but with `repair --apply`, and that keeps what it replaces.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentrail.clock import SystemClock
from opentrail.errors import DamagedError, UsageError
from opentrail.segment.frame import Damage
from opentrail.segment.store import segment_name, segment_positions
from opentrail_aggregator.supervise.lock import acquire_lock
from opentrail_aggregator.wal.check import Checked, check_log
from opentrail_aggregator.wal.cursors import DIRECTORY, Cursors
from opentrail_aggregator.wal.disk_reader import DiskLogReader
from opentrail_aggregator.wal.log import LogEntry
from opentrail_aggregator.wal.published import PublishedPosition
from opentrail_aggregator.wal.repair import plan_repairs

_READ_BYTES = 4 << 20


def main(argv: Sequence[str]) -> int:
    """Run one tool; the exit code."""
    options = _parser().parse_args(argv)
    directory = options.home / "log"
    if not directory.is_dir():
        raise UsageError(f"{directory}: there is no log; give the aggregator's folder by --home")
    return int(options.function(directory, options))


def status(directory: Path, options: argparse.Namespace) -> int:
    """Where the log begins and ends."""
    reader = DiskLogReader(directory)
    firsts = segment_positions([path.name for path in directory.iterdir()])
    durable = PublishedPosition(directory).read()
    cursors = Cursors(directory / DIRECTORY)
    found: dict[str, Any] = {
        "log_id": reader.log_id,
        "first_position": reader.first_position(),
        "durable_position": durable,
        "segments": len(firsts),
        "bytes": sum((directory / segment_name(first)).stat().st_size for first in firsts),
        "cursors": {name: _cursor(cursors, name) for name in cursors.names()},
    }
    if durable:
        events, refused = reader.received_through(durable)
        found |= {"received_events": events, "received_refused": refused}
    if options.output == "json":
        print(json.dumps(found))
        return 0
    for key, value in found.items():
        if key != "cursors":
            print(f"{key:18} {value}")
    for name, position in found["cursors"].items():
        behind = "" if isinstance(position, str) else f"   {durable - position} behind"
        print(f"cursor {name:11} {position}{behind}")
    return 0


def dump(directory: Path, options: argparse.Namespace) -> int:
    """Frames, one line each."""
    reader = DiskLogReader(directory)
    after = max(options.after, reader.first_position() - 1)
    left = options.limit
    while left > 0 and (entries := reader.read(after, _READ_BYTES)):
        for entry in entries[:left]:
            _print(entry, options.output == "json")
        left -= len(entries)
        last = entries[-1]
        after = last.last if isinstance(last, Damage) else last.position
    return 0


def check(directory: Path, options: argparse.Namespace) -> int:
    """Read everything and say what is wrong."""
    found = check_log(directory, PublishedPosition(directory).read())
    if options.output == "json":
        print(json.dumps(_as_json(found)))
    else:
        _print_checked(found)
    return 0 if found.is_clean else 1


def repair(directory: Path, options: argparse.Namespace) -> int:
    """Say what would be done, or do it."""
    clock = SystemClock()
    lock = acquire_lock(directory / "lock", clock, 0.0) if options.apply else None
    try:
        steps = plan_repairs(directory, clock)
        if not steps:
            print("nothing to repair")
            return 0
        for step in steps:
            print(f"{step.path}: {step.what}")
            if options.apply:
                step.carry_out()
                print("  done")
        if not options.apply:
            print("nothing was changed; stop the aggregator and give --apply to do this")
        return 0
    finally:
        if lock is not None:
            lock.release()


def _cursor(cursors: Cursors, name: str) -> int | str:
    try:
        return cursors.read(name)[0]
    except DamagedError as error:
        return str(error)


def _print(entry: LogEntry | Damage, as_json: bool) -> None:
    if isinstance(entry, Damage):
        row: dict[str, Any] = {
            "damage": entry.reason, "first": entry.first, "last": entry.last,
            "path": entry.path, "offset": entry.offset,
        }  # fmt: skip
    else:
        row = {
            "position": entry.position, "kind": entry.kind.name.lower(),
            "appended_at_ns": entry.appended_at_ns, "bytes": len(entry.payload),
        }  # fmt: skip
        if entry.is_batch:
            row |= {
                "agent": entry.agent, "epoch": entry.epoch, "sequence": entry.sequence,
                "digest": entry.digest, "events": entry.events, "refused": entry.refused,
            }  # fmt: skip
        else:
            row["control"] = entry.control()
    if as_json:
        print(json.dumps(row))
    else:
        print("  ".join(f"{key}={value}" for key, value in row.items()))


def _as_json(found: Checked) -> dict[str, Any]:
    return {
        "segments": found.segments, "frames": found.frames, "bytes": found.bytes,
        "events": found.events, "refused": found.refused,
        "findings": [
            {"path": str(f.path), "what": f.what, "remedy": f.remedy, "is_loss": f.is_loss}
            for f in found.findings
        ],
    }  # fmt: skip


def _print_checked(found: Checked) -> None:
    print(
        f"{found.segments} segments, {found.frames} frames, {found.events} events, "
        f"{found.refused} refusals, {found.bytes} bytes"
    )
    for finding in found.findings:
        mark = "LOST" if finding.is_loss else "note"
        print(f"{mark}  {finding.path}: {finding.what}; {finding.remedy}")
    print("all is as it should be" if found.is_clean else f"{len(found.findings)} findings")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opentrail-aggregator wal",
        description="Look inside the log; works beside a running aggregator.",
    )
    home = Path(os.environ.get("OPENTRAIL_HOME") or "var")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, function, meaning in (
        ("status", status, "where the log begins and ends, and how far its readers are"),
        ("dump", dump, "its frames, one line each"),
        ("check", check, "read all of it; exit code 1 if something is wrong"),
        ("repair", repair, "what would be repaired; with --apply, do it"),
    ):
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument("--home", type=Path, default=home, metavar="FOLDER",
                             help="its folder (default $OPENTRAIL_HOME or ./var)")  # fmt: skip
        command.add_argument("--output", choices=("text", "json"), default="text")
        command.set_defaults(function=function)
        if name == "dump":
            command.add_argument("--after", type=int, default=0, metavar="POSITION",
                                 help="begin behind this position")  # fmt: skip
            command.add_argument("--limit", type=int, default=sys.maxsize, metavar="N",
                                 help="frames at most")  # fmt: skip
        if name == "repair":
            command.add_argument("--apply", action="store_true", help="carry the plan out")
    return parser
