"""The commands for OpenSearch and its Dashboards: `dashboards install`, `export`, `index held`."""

import argparse
from collections.abc import Callable
from typing import Any


def add_dashboards_commands(
    commands: Any, command: Callable[..., argparse.ArgumentParser], group: Callable[..., Any]
) -> None:
    """Add them with the makers of commands and groups that `arguments` has."""
    boards = group(commands, "dashboards", "six dashboards for OpenSearch Dashboards 2.19 and 3.x")
    install = command(
        boards,
        "install",
        "dashboards",
        "install",
        "put the dashboards into OpenSearch Dashboards and read them back",
        """\
Examples:
  opentrail dashboards install --url http://127.0.0.1:5601
  opentrail dashboards install --url https://search.example/_dashboards --user admin \\
    --password-file /etc/opentrail/dashboards-password --authority /etc/opentrail/ca.pem

May be given again, also after an upgrade of OpenTrail: what is there is replaced.
""",
        server=False,
    )
    install.add_argument("--url", metavar="URL", required=True,
                         help="Dashboards' own address, with its base path")  # fmt: skip
    install.add_argument("--tenant", default="global", metavar="NAME",
                         help="whose they are (default global; '' where there is no security"
                         " plugin that knows tenants)")  # fmt: skip
    install.add_argument("--workspace", default="", metavar="ID",
                         help="into this workspace, as its address /w/ID says")  # fmt: skip
    install.add_argument("--user", default="", metavar="NAME")
    install.add_argument("--password-file", metavar="FILE")
    install.add_argument("--header-file", metavar="FILE",
                         help="value of the header Authorization, in place of a user")  # fmt: skip
    install.add_argument("--authority", metavar="FILE",
                         help="certificates that https is checked with")  # fmt: skip
    install.add_argument("--aws-region", default="", metavar="REGION",
                         help="sign the requests for a domain managed by AWS")  # fmt: skip
    export = command(
        boards,
        "export",
        "dashboards",
        "export",
        "write the dashboards into a file that Dashboards imports",
        "Example:\n  opentrail dashboards export opentrail.ndjson    # then: Management, Saved"
        " objects, Import\n",
        server=False,
    )
    export.add_argument("file", metavar="FILE", help="ends with .ndjson; - is stdout")
    export.add_argument("--workspace", default="", metavar="ID",
                        help="with ids of its own for this workspace")  # fmt: skip


def add_held_command(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `held` to the group `index`."""
    held = command(
        group,
        "held",
        "held",
        "show_held",
        "list the events that OpenSearch took in no form, with its reasons",
        "Examples:\n  opentrail index held\n  opentrail index held --output jsonl    # with the"
        " records\n",
        server=False,
    )
    held.add_argument("--limit", type=int, default=1000, metavar="N")
    held.add_argument("--output", choices=("table", "jsonl"), default="table")
