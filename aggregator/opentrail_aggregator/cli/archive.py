"""archive list and get: the objects that are kept for years."""

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import quote

from opentrail.errors import UsageError
from opentrail_aggregator.cli.client import server_of
from opentrail_aggregator.cli.table import Column, Table

_COLUMNS = (
    Column("SIZE", 6, right=True, importance=2),
    Column("EVENTS", 6, right=True, importance=1),
    Column("OBJECT", 40, importance=3),
)
PAGE = 1000


def show_list(options: argparse.Namespace) -> int:
    """`opentrail archive list`."""
    server = server_of(options)
    table = Table(_COLUMNS)
    left, after = options.limit, None
    while left > 0:
        page = server.get(
            "/api/archive",
            {"prefix": options.prefix, "limit": min(left, PAGE), "after": after},
        )
        objects = page["objects"]
        if options.output == "jsonl":
            for each in objects:
                print(json.dumps(each, separators=(",", ":")))
        elif objects:
            rows = ((each["size"], each.get("events") or "", each["key"]) for each in objects)
            print("\n".join(table.lines(rows)))
        left -= len(objects)
        after = page.get("after")
        if not after:
            break
    return 0


def get(options: argparse.Namespace) -> int:
    """`opentrail archive get`."""
    if "/" not in options.key:
        raise UsageError(f"{options.key!r} names no object: write BUCKET/KEY as archive list does")
    pieces = server_of(options).stream(f"/api/archive/{quote(options.key)}", {})
    if options.to == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return 0
    first = next(pieces, b"")  # Before the file is made, or an error would leave an empty one.
    target = Path(options.to or options.key.rpartition("/")[2])
    with open(target, "wb") as file:
        file.write(first)
        for piece in pieces:
            file.write(piece)
    print(target)
    return 0
