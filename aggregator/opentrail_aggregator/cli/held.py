"""`opentrail index held`: what OpenSearch refused in every form, and why."""

import argparse
import json
import sys

from opentrail.errors import UsageError
from opentrail_aggregator.cli.client import home_of
from opentrail_aggregator.cli.settings_of_home import settings_of
from opentrail_aggregator.cli.table import Column, Table
from opentrail_aggregator.opensearch.held import held_entries

_COLUMNS = (
    Column("DAY", 10, importance=6),
    Column("ACCOUNT", 12, importance=5),
    Column("REGION", 9, importance=3),
    Column("KEY", 32, importance=2),
    Column("REASON", 20, importance=9),
)


def show_held(options: argparse.Namespace) -> int:
    """Works on the home itself, whether the aggregator runs or not."""
    home = home_of(options).absolute()
    if not home.is_dir():
        raise UsageError(f"{home}: there is no aggregator's folder here; name one with --home")
    entries = held_entries(settings_of(home).place.opensearch)
    shown = entries[: options.limit]
    if options.output == "jsonl":
        for each in shown:
            print(json.dumps(each, separators=(",", ":")))
    elif shown:
        names = ("day", "account", "region", "key", "reason")
        table = Table(_COLUMNS)
        print("\n".join(table.lines([each.get(name, "") for name in names] for each in shown)))
    if not entries and sys.stderr.isatty():
        print("OpenSearch holds nothing back", file=sys.stderr)
    if len(entries) > len(shown):
        print(f"{len(entries) - len(shown):,} more; --limit shows them", file=sys.stderr)
    return 0
