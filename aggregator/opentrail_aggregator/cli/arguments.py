"""The command line: every command, option and example in one place."""

import argparse
from typing import TypeAlias

from opentrail.completion import add_completion
from opentrail_aggregator.cli.doctor_arguments import add_doctor_command
from opentrail_aggregator.cli.opensearch_arguments import (
    add_dashboards_commands,
    add_held_command,
)
from opentrail_aggregator.cli.proof_arguments import add_proof_commands
from opentrail_aggregator.version import VERSION

S3_OPTIONS = (
    ("s3-endpoint", "URL", "S3 that is not AWS"),
    ("s3-region", "REGION", "of the bucket"),
    ("s3-profile", "NAME", "of the AWS tools' files"),
    ("s3-workers", "N", "objects fetched at once (6)"),
)
"""Options of `import` that are handed to the agent, which knows what they mean."""

_SERVER = """\
The server is found by --url or OPENTRAIL_URL, else by the home folder: --home or OPENTRAIL_HOME,
else ./var, so that next to `make up` no option is needed. Requests are signed with the access key
in OPENTRAIL_KEY_FILE, else with the home's own (keys/local.json).
"""

_QUERY = """\
Queries:  eventName:ConsoleLogin                        a field and its value, case-sensitive
          eventName:Get* AND NOT errorCode:*            wildcards, AND OR NOT, parentheses
          userIdentity.arn:arn:aws:iam::*:user/alice    any path: requestParameters.… too
          sourceIPAddress:[10.0.0.0 TO 10.255.255.255]  ranges of dates, addresses, numbers
          "payment failed" bucket                       bare words: anywhere in the record
          _exists_:errorCode        *                   has the field; everything
Times:    2h, 7d (ago), 2026-11-24, 2026-11-24T13:00:00Z
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps examples as they are written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def build_parser() -> argparse.ArgumentParser:
    """The parser of `opentrail`; each command sets `module` and `function`."""
    parser = argparse.ArgumentParser(
        prog="opentrail",
        formatter_class=_Formatter,
        description="The CloudTrail you run yourself: look up, count, prove whole.",
        epilog="""\
Try it:
  opentrail up --sample              aggregator, agent and a sample stream on this machine
  opentrail lookup --limit 5         the newest events
  opentrail lookup 'eventName:ConsoleLogin AND responseElements.ConsoleLogin:Failure'
  opentrail count --by eventSource   what is going on
  opentrail tail errorCode:*         failures, as they arrive
  opentrail status                   is anything missing?

"""
        + _SERVER,
    )
    parser.add_argument("--version", action="version", version=f"opentrail {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _up(commands)
    _searching(commands)
    _quarantine(commands)
    _archive(commands)
    _import(commands)
    _index(commands)
    add_proof_commands(commands, _command, _group)
    add_dashboards_commands(commands, _command, _group)
    _agents(commands)
    _keys(commands)
    _env(commands)
    _status(commands)
    add_doctor_command(commands, _command)
    add_completion(commands).set_defaults(module="completion", function="show")
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(
    commands: Commands,
    name: str,
    module: str,
    function: str,
    summary: str,
    text: str = "",
    *,
    server: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=text + ("\n" + _SERVER if server else ""),
        formatter_class=_Formatter,
    )
    parser.set_defaults(module=module, function=function)
    parser.add_argument("--home", metavar="FOLDER", help="the aggregator's folder (default ./var)")
    if server:
        parser.add_argument("--url", metavar="URL", help="the aggregator's address")
    return parser


def _group(commands: Commands, name: str, summary: str) -> Commands:
    parser = commands.add_parser(
        name, help=summary, description=summary, formatter_class=_Formatter
    )
    group: Commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    return group


def _period(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", metavar="TIME", help="from then on (default: all there is)")
    parser.add_argument("--end", metavar="TIME", help="before then (default: now, and ahead)")


def _up(commands: Commands) -> None:
    parser = _command(
        commands,
        "up",
        "up",
        "up",
        "run an aggregator and an agent here, in the foreground",
        """\
Examples:
  opentrail up --sample                         something to look at
  opentrail up --watch '/var/log/app/*.json'    follow files of your own
  opentrail up --home /srv/trail --http 127.0.0.1:9000

The first start makes the folder and development certificates. Ctrl-C ends it within ten seconds;
the next start goes on where this one was.
""",
        server=False,
    )
    parser.add_argument("--http", metavar="HOST:PORT", help="search and API (127.0.0.1:8470)")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="for agents (127.0.0.1:8471)")
    parser.add_argument("--opensearch", metavar="URL",
                        help="index and search there instead of in the home")  # fmt: skip
    parser.add_argument("--archive", metavar="s3://BUCKET[/PREFIX]",
                        help="archive there instead of in the home")  # fmt: skip
    parser.add_argument("--watch", metavar="PATH_OR_GLOB", action="append", default=[],
                        help="follow these files; may be given again")  # fmt: skip
    parser.add_argument("--sample", metavar="RATE", nargs="?", type=_rate, const=5.0,
                        help="also make up RATE events per second (5 without RATE)")  # fmt: skip


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 100_000:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate: give events per second, as 5 or 2.5"
        )
    return rate


def _searching(commands: Commands) -> None:
    lookup = _command(
        commands,
        "lookup",
        "lookup",
        "lookup",
        "find events, newest first",
        """\
Examples:
  opentrail lookup eventName:ConsoleLogin --start 2h
  opentrail lookup 'userIdentity.userName:alice AND errorCode:*' --limit 200 --output csv > a.csv
  opentrail lookup '*' --limit 1000000 --output jsonl > all.ndjson   # byte for byte, streamed

"""
        + _QUERY,
    )
    lookup.add_argument("query", nargs="?", default="*", metavar="QUERY")
    _period(lookup)
    lookup.add_argument("--limit", type=_count, default=50, metavar="N",
                        help="how many at most (default 50; there is no upper bound)")  # fmt: skip
    lookup.add_argument("--output", choices=("table", "json", "jsonl", "csv"), default="table",
                        help="jsonl prints the records byte for byte")  # fmt: skip

    tail = _command(
        commands,
        "tail",
        "lookup",
        "tail",
        "print events as they become searchable",
        "Examples:\n  opentrail tail\n  opentrail tail errorCode:AccessDenied --output jsonl\n\n"
        + _QUERY,
    )
    tail.add_argument("query", nargs="?", default="*", metavar="QUERY")
    tail.add_argument("--output", choices=("table", "jsonl"), default="table")

    show = _command(
        commands, "show", "lookup", "show", "print one event whole",
        "Example:\n  opentrail show 0f1e2d3c    # the ID column of lookup, or the whole eventID\n",
    )  # fmt: skip
    show.add_argument("event_id", metavar="EVENT_ID", help="an eventID, or at least its first six")
    show.add_argument("--output", choices=("pretty", "jsonl"), default="pretty")

    count = _command(
        commands,
        "count",
        "lookup",
        "count",
        "count events, by hour, day or the values of a field",
        """\
Examples:
  opentrail count                                    how many there are
  opentrail count --by hour --start 24h
  opentrail count errorCode:AccessDenied --by userIdentity.arn

"""
        + _QUERY,
    )
    count.add_argument("query", nargs="?", default="*", metavar="QUERY")
    count.add_argument("--by", metavar="FIELD|hour|day", help="one line for each value")
    _period(count)
    count.add_argument("--limit", type=_count, default=20, metavar="N",
                       help="values at most, the most frequent (default 20)")  # fmt: skip
    count.add_argument("--output", choices=("table", "json", "csv"), default="table")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _quarantine(commands: Commands) -> None:
    group = _group(
        commands, "quarantine", "what arrived and could not be an event, with the reason"
    )
    listing = _command(group, "list", "quarantine", "show_list", "list what is in quarantine",
                       "Example:\n  opentrail quarantine list --reason not_json\n")  # fmt: skip
    listing.add_argument("--reason", metavar="REASON", help="only these, as not_json or conflict")
    listing.add_argument("--limit", type=_count, default=50, metavar="N")
    listing.add_argument("--output", choices=("table", "jsonl"), default="table")
    show = _command(group, "show", "quarantine", "show_one", "print one item with its bytes")
    show.add_argument("item", metavar="ID")
    replay = _command(
        group,
        "replay",
        "quarantine",
        "replay",
        "send items through the front door again",
        "Examples:\n  opentrail quarantine replay 17-2\n  opentrail quarantine replay --reason"
        " outside_grant    # after the grant was mended\n",
    )
    replay.add_argument("items", metavar="ID", nargs="*")
    replay.add_argument("--reason", metavar="REASON", help="all of this reason")


def _archive(commands: Commands) -> None:
    group = _group(commands, "archive", "the objects that are kept for years")
    listing = _command(
        group, "list", "archive", "show_list", "list objects",
        "Example:\n  opentrail archive list opentrail/AWSLogs/111122223333/CloudTrail/us-east-1/\n",
    )  # fmt: skip
    listing.add_argument("prefix", nargs="?", default="", metavar="BUCKET/PREFIX")
    listing.add_argument("--limit", type=_count, default=1000, metavar="N")
    listing.add_argument("--output", choices=("table", "jsonl"), default="table")
    get = _command(group, "get", "archive", "get", "copy one object to here")
    get.add_argument("key", metavar="BUCKET/KEY")
    get.add_argument("--to", metavar="FILE", help="where to (default: its name, here; - is stdout)")


def _import(commands: Commands) -> None:
    parser = _command(
        commands,
        "import",
        "importing",
        "run_import",
        "send files or folders of CloudTrail records, each event once",
        """\
Example:
  opentrail import ~/cloudtrail-2025/    # .json, .json.gz, arrays, Records, NDJSON
  opentrail import s3://bucket/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/
  opentrail import --redact on ~/applications/    # passwords, tokens and keys are hidden

May be interrupted and given again: it goes on where it was, and what is already here stays single.
Credentials for S3 come from where the AWS tools look for them.
""",
        server=False,
    )
    parser.add_argument("paths", nargs="+", metavar="FILE|DIR|s3://BUCKET/PREFIX")
    for name, metavar, meaning in S3_OPTIONS:
        parser.add_argument(f"--{name}", metavar=metavar, help=meaning)
    parser.add_argument("--s3-path-style", action="store_true", help="the bucket is in the path")
    parser.add_argument(
        "--redact", choices=("auto", "on", "off"), default="auto",
        help="hide secrets before anything is kept (default: auto, not in CloudTrail records)",
    )  # fmt: skip


def _index(commands: Commands) -> None:
    group = _group(commands, "index", "the searchable copy")
    rebuild = _command(
        group,
        "rebuild",
        "index",
        "rebuild",
        "make the index anew beside the old one, while searches go on",
        "Example:\n  opentrail index rebuild --from archive\n",
        server=False,
    )
    rebuild.add_argument("--from", dest="origin", choices=("log", "archive"), required=True,
                         help="log: what it still holds; archive: all delivered")  # fmt: skip
    add_held_command(group, _command)


def _agents(commands: Commands) -> None:
    group = _group(commands, "agents", "who sends events here")
    listing = _command(group, "list", "agents", "show_list", "list agents, their lag and gaps")
    listing.add_argument("--output", choices=("table", "json"), default="table")
    retire = _command(group, "retire", "agents", "retire",
                      "say that an agent will not come back")  # fmt: skip
    retire.add_argument("name", metavar="NAME")


def _keys(commands: Commands) -> None:
    group = _group(commands, "keys", "access keys: who may ask, and how far each may see")
    create = _command(
        group,
        "create",
        "keys",
        "create",
        "make an access key; its secret is shown this once",
        """\
Examples:
  opentrail keys create auditor
  opentrail keys create reader --account 111122223333 --region 'eu-*' --note 'team blue'
  opentrail keys create reader --key-file ~/.opentrail-key    # for OPENTRAIL_KEY_FILE

Roles: reader searches; auditor also sees status, agents, quarantine, archive and metrics;
admin also changes things; writer only sends events.
This works on the home folder itself, whether the aggregator runs or not.
""",
        server=False,
    )
    create.add_argument("role", choices=("reader", "auditor", "admin", "writer"))
    create.add_argument("--account", metavar="PATTERN", action="append", default=[],
                        help="only these accounts; may be given again (default *)")  # fmt: skip
    create.add_argument("--region", metavar="PATTERN", action="append", default=[],
                        help="only these regions; may be given again (default *)")  # fmt: skip
    create.add_argument("--note", metavar="TEXT", default="", help="whose it is")
    create.add_argument("--key-file", metavar="FILE",
                        help="write it there (mode 0600) and do not show it")  # fmt: skip
    create.add_argument("--output", choices=("table", "json"), default="table")
    listing = _command(group, "list", "keys", "show_list", "list access keys, without secrets",
                       server=False)  # fmt: skip
    listing.add_argument("--output", choices=("table", "json"), default="table")
    for name, summary in (
        ("disable", "refuse an access key from now on"),
        ("enable", "take a disabled access key again"),
        ("delete", "forget an access key for good"),
    ):
        changing = _command(group, name, "keys", name, summary, server=False)
        changing.add_argument("key", metavar="KEY_ID")


def _env(commands: Commands) -> None:
    _command(
        commands,
        "env",
        "env",
        "show",
        "print what points AWS's own tools here",
        """\
Example:
  eval "$(opentrail env)" && aws cloudtrail describe-trails
""",
        server=False,
    )


def _status(commands: Commands) -> None:
    parser = _command(
        commands,
        "status",
        "status",
        "status",
        "show what was received, where it is, and whether the sums agree",
        """\
received = duplicates + quarantined + indexed  + expired    + pending.index
         = duplicates + quarantined + archived + unselected + pending.archive

Each figure is counted in its own store. Exit code 1 and the figure's name if a sum is wrong.
""",
    )
    parser.add_argument("--recount", action="store_true", help="open everything and count again")
    parser.add_argument("--output", choices=("table", "json"), default="table")
