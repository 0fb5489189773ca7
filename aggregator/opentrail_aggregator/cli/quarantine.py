"""quarantine list, show and replay: what arrived and could not be an event."""

import argparse
import base64
import json
import sys
from urllib.parse import quote

from opentrail.errors import UsageError
from opentrail_aggregator.cli.client import server_of
from opentrail_aggregator.cli.table import Column, Table, clean

PAGE = 1000
_COLUMNS = (
    Column("ID", 6, importance=9),
    Column("AT", 19, importance=6),
    Column("REASON", 8, importance=8),
    Column("AGENT", 6, importance=3),
    Column("SOURCE", 12, importance=4),
    Column("OFFSET", 3, right=True, importance=2),
    Column("BYTES", 5, right=True, importance=2),
    Column("DETAIL", 20, importance=7),
)


def show_list(options: argparse.Namespace) -> int:
    """`opentrail quarantine list`."""
    server = server_of(options)
    table = Table(_COLUMNS)
    left, after = options.limit, None
    while left > 0:
        page = server.get(
            "/api/quarantine",
            {"limit": min(left, PAGE), "after": after, "reason": options.reason},
        )
        items = page["items"]
        if options.output == "jsonl":
            for item in items:
                print(json.dumps(item, separators=(",", ":")))
        elif items:
            print("\n".join(table.lines(_row(item) for item in items)))
        left -= len(items)
        after = page.get("after")
        if not after:
            break
    if left == options.limit and options.output == "table" and sys.stderr.isatty():
        print("quarantine is empty", file=sys.stderr)
    return 0


def show_one(options: argparse.Namespace) -> int:
    """`opentrail quarantine show ID`."""
    item = server_of(options).get(f"/api/quarantine/{quote(options.item, safe='')}")
    content = base64.b64decode(item.pop("bytes", "") or "")
    for name, value in item.items():
        print(f"{name:<10} {clean(value)}")
    print()
    # Hostile by nature: shown as text only as far as a terminal cannot be made to obey it.
    print("\n".join(clean(line) for line in content.decode("utf-8", "replace").split("\n")))
    return 0


def replay(options: argparse.Namespace) -> int:
    """`opentrail quarantine replay`."""
    if bool(options.items) == bool(options.reason):
        raise UsageError("name the items to replay, or --reason REASON for all of one reason")
    done = server_of(options).post(
        "/api/quarantine/replay", {"items": options.items, "reason": options.reason}
    )
    print(f"{done['replayed']} sent again; what still cannot be an event comes back here")
    for each in done["left"]:
        print(f"{each['id']} stays: {clean(each['why'])}")
    return 0


def _row(item: dict[str, object]) -> list[object]:
    names = ("id", "at", "reason", "agent", "source", "offset", "length", "detail")
    return [item.get(name, "") for name in names]
