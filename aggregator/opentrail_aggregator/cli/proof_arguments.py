"""The commands that prove the archive whole: `verify` and `digest now`."""

import argparse
from collections.abc import Callable
from typing import Any


def add_proof_commands(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    group: Callable[..., Any],
) -> None:
    """Add them with the makers of commands and groups that `arguments` has."""
    verify = command(
        commands,
        "verify",
        "verify",
        "run",
        "check the whole archive: digests, chains, log files, manifests",
        """\
Examples:
  opentrail verify
  opentrail verify --output json > report.json

Works on the home folder itself, whether the aggregator runs or not, and reads every object.
Stricter than `aws cloudtrail validate-logs`: also finds missing newest digests, log files that no
digest lists, and chains that were begun anew.
Exit code 0: whole; 1: something is wrong; 2: could not look.
""",
        server=False,
    )
    verify.add_argument("--output", choices=("text", "json"), default="text")
    digests = group(commands, "digest", "signed lists of what was delivered")
    now = command(
        digests,
        "now",
        "digest",
        "now",
        "cut what is open, deliver it and sign a digest of every chain",
        "Example:\n  opentrail digest now && opentrail verify\n",
        server=False,
    )
    now.add_argument("--wait", type=float, default=60.0, metavar="SECONDS",
                     help="how long to wait for it (default 60)")  # fmt: skip
