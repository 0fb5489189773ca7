"""lookup, tail, show and count: questions about events."""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentrail.errors import UsageError
from opentrail_aggregator.cli.client import NotFoundError, Server, server_of
from opentrail_aggregator.cli.record_view import COLUMNS, CSV_FIELDS, csv_row, row_of
from opentrail_aggregator.cli.table import Column, Table, clean, terminal_width

PAGE = 1000
TAIL_WAIT_SECONDS = 20
ID_SHORTEST = 6


def lookup(options: argparse.Namespace) -> int:
    """`opentrail lookup`."""
    server = server_of(options)
    asked = {"query": options.query, "start": options.start, "end": options.end}
    if options.output in ("jsonl", "json"):
        parameters = {**asked, "limit": options.limit, "format": "ndjson"}
        pieces = server.stream("/api/events", parameters)
        if options.output == "jsonl":
            _copy(pieces)
        else:
            _copy_as_array(pieces)
        return 0
    shown = 0
    table = Table(COLUMNS)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if options.output == "csv":
        writer.writerow(CSV_FIELDS)
    more = False
    for page in _pages(server, asked, options.limit):
        events = page["events"]
        shown += len(events)
        more = bool(page.get("cursor"))
        if options.output == "csv":
            writer.writerows(csv_row(json.loads(event["raw"])) for event in events)
        elif events:
            print("\n".join(table.lines(row_of(_with_record(event)) for event in events)))
    if options.output == "table" and sys.stderr.isatty():
        if not shown:
            print("nothing found", file=sys.stderr)
        elif more:
            print(f"the newest {shown}; --limit N shows more", file=sys.stderr)
    return 0


def tail(options: argparse.Namespace) -> int:
    """`opentrail tail`: until it is interrupted."""
    server = server_of(options)
    table = Table(COLUMNS)
    after: str | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            page = server.get(
                "/api/tail",
                {"query": options.query, "after": after, "wait": TAIL_WAIT_SECONDS},
            )
            after = page["after"]
            if options.output == "jsonl":
                for event in page["events"]:
                    sys.stdout.write(event["raw"] + "\n")
            elif page["events"]:
                print(
                    "\n".join(table.lines(row_of(_with_record(event)) for event in page["events"]))
                )
            sys.stdout.flush()
    return 0


def show(options: argparse.Namespace) -> int:
    """`opentrail show EVENT_ID`."""
    if len(options.event_id) < ID_SHORTEST:
        raise UsageError(
            f"{options.event_id!r} is too short to tell events apart: give at least "
            f"{ID_SHORTEST} characters of the eventID"
        )
    events = server_of(options).get(f"/api/events/{_quoted(options.event_id)}")["events"]
    if not events:
        raise NotFoundError(f"no event {options.event_id}: is it older than the retention?")
    for event in events:
        if options.output == "jsonl":
            sys.stdout.buffer.write(event["raw"].encode() + b"\n")
        else:
            # JSON escapes every control character, and non-ASCII is cleaned line by line.
            text = json.dumps(json.loads(event["raw"]), indent=2, ensure_ascii=False)
            print("\n".join(clean(line) for line in text.split("\n")))
    return 0


def count(options: argparse.Namespace) -> int:
    """`opentrail count`."""
    asked = {"query": options.query, "start": options.start, "end": options.end}
    found = server_of(options).get(
        "/api/count", {**asked, "by": options.by, "limit": options.limit}
    )
    counts: list[Mapping[str, Any]] = found.get("counts") or []
    if options.output == "json":
        print(json.dumps(found, indent=2))
    elif options.output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow((options.by or "", "count"))
        writer.writerows((each["value"], each["count"]) for each in counts)
        if not options.by:
            writer.writerow(("", found["total"]))
    elif not options.by:
        print(found["total"])
    elif counts:
        print("\n".join(_bars(options.by, counts)))
        _remark_rest(found, counts)
    return 0


def _pages(server: Server, asked: Mapping[str, Any], limit: int) -> Iterator[Mapping[str, Any]]:
    cursor: str | None = None
    while limit > 0:
        page = server.get("/api/events", {**asked, "limit": min(limit, PAGE), "cursor": cursor})
        yield page
        limit -= len(page["events"])
        cursor = page.get("cursor")
        if not cursor:
            return


def _copy(pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _copy_as_array(pieces: Iterable[bytes]) -> None:
    """NDJSON as one JSON array, each record still byte for byte."""
    out = sys.stdout.buffer
    out.write(b"[")
    partial, first = b"", True
    for piece in pieces:
        *lines, partial = (partial + piece).split(b"\n")
        for line in lines:
            out.write((b"\n" if first else b",\n") + line)
            first = False
    out.write(b"]\n" if first else b"\n]\n")
    out.flush()


def _bars(by: str, counts: list[Mapping[str, Any]]) -> list[str]:
    width = terminal_width()
    most = max(int(each["count"]) for each in counts)
    value_width = min(max(len(clean(each["value"])) for each in counts), max(width - 30, 12))
    table = Table(
        (Column(by.upper() if by in ("hour", "day") else by, value_width, importance=2),
         Column("COUNT", 5, right=True, importance=3),
         Column("", 1)),
        width,
    )  # fmt: skip
    room = max(min(width - value_width - 16, 50), 1)
    ending = "T00:00:00Z" if by == "day" else ""
    return table.lines(
        (
            str(each["value"]).removesuffix(ending),
            each["count"],
            "#" * max(1, round(room * int(each["count"]) / most)),
        )
        for each in counts
    )


def _remark_rest(found: Mapping[str, Any], counts: list[Mapping[str, Any]]) -> None:
    rest = int(found["total"]) - sum(int(each["count"]) for each in counts)
    if rest > 0 and sys.stderr.isatty():
        print(f"{rest} more with other values or none; --limit N shows more", file=sys.stderr)


def _with_record(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**event, "record": json.loads(event["raw"])}


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
