"""The command line of `doctor`."""

import argparse
from collections.abc import Callable
from typing import Any


def add_doctor_command(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add it with the maker of commands that `arguments` has."""
    doctor = command(
        commands,
        "doctor",
        "doctor",
        "doctor",
        "find the commonest mistakes of this installation, each with its fix",
        """\
Examples:
  opentrail doctor --config /etc/opentrail/aggregator.yaml
  opentrail doctor --home ./var

Looks at configuration, disk, inodes, limits, clock, names, ports, certificates, permissions and
keys; changes nothing, and needs no running aggregator. Exit code 1 if anything is found.
""",
        server=False,
    )
    doctor.add_argument("--config", metavar="FILE", help="the aggregator's configuration")
    doctor.add_argument("--output", choices=("text", "json"), default="text")
