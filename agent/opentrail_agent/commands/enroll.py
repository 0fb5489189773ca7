"""`opentrail-agent enroll`: from a join token to an agent that can run.

The token is best given by --token-file or OPENTRAIL_JOIN_TOKEN: what stands on a command line can
be read by everybody on the host for as long as the command runs.
"""

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Any

import yaml

from opentrail.clock import SystemClock
from opentrail.errors import DamagedError, UsageError
from opentrail.files import DISK
from opentrail_agent.enrolment.client import Enrolled, enrol
from opentrail_agent.enrolment.place import IdentityPlace
from opentrail_agent.enrolment.request import make_request
from opentrail_agent.enrolment.token import JoinToken, parse_token

TOKEN_VARIABLE = "OPENTRAIL_JOIN_TOKEN"
DEFAULT_STATE = "/var/lib/opentrail-agent"


def enroll(options: argparse.Namespace) -> int:
    """Get a certificate, keep it, and write a configuration if there is none."""
    name = options.name or socket.gethostname()
    state, config = Path(options.state).absolute(), Path(options.config).absolute()
    if options.if_needed and _is_enrolled(state):
        print(f"the certificate in {state} is good: not enrolled again")
        return 0
    token = _token(options)
    _refuse_unwritable(state, config)
    made = make_request(name)
    enrolled = enrol(options.url, token, name, made.request, https_ca=options.https_ca)
    place = IdentityPlace(state)
    place.keep(enrolled.certificate, made.key, enrolled.authority)
    content = _configuration(options, name, state, place, enrolled)
    print(f"enrolled as {name}; certificate and key are in {place.pair}, renewed by the agent")
    if config.exists():
        print(f"{config} is kept as it is; it needs:\n{yaml.safe_dump(content, sort_keys=False)}")
    else:
        DISK.make_directory(config.parent)
        DISK.replace(config, yaml.safe_dump(content, sort_keys=False).encode())
        print(f"wrote {config}; now: opentrail-agent run --config {config}")
    if not enrolled.is_granted:
        print(
            f"no grant of the aggregator names {name}: it is refused until identity.grants does",
            file=sys.stderr,
        )
    return 0


def _is_enrolled(state: Path) -> bool:
    try:
        return IdentityPlace(state).facts().not_after > SystemClock().now_ns() / 1e9
    except (OSError, DamagedError):
        return False  # None yet, or none that could be used.


def _token(options: argparse.Namespace) -> JoinToken:
    if options.token_file == "-":
        return parse_token(sys.stdin.read(4096))
    if options.token_file:
        try:
            return parse_token(Path(options.token_file).read_text())
        except OSError as error:
            raise UsageError(f"--token-file {options.token_file}: {error.strerror}") from None
    text = options.token or os.environ.get(TOKEN_VARIABLE, "")
    if not text:
        raise UsageError(
            f"a join token is needed: --token-file FILE, {TOKEN_VARIABLE}, or --token TOKEN; the "
            "aggregator's `opentrail-aggregator tokens create NAME` prints one"
        )
    return parse_token(text)


def _refuse_unwritable(state: Path, config: Path) -> None:
    """Before the token is spent."""
    for path in (state, config.parent):
        there = path
        while not there.exists():
            there = there.parent
        if not os.access(there, os.W_OK):
            raise UsageError(
                f"{path}: cannot be written by this user; use sudo, or --state and --config"
            )


def _configuration(
    options: argparse.Namespace,
    name: str,
    state: Path,
    place: IdentityPlace,
    enrolled: Enrolled,
) -> dict[str, Any]:
    return {
        "name": name,
        "state": str(state),
        "capture": {"watch": [{"path": str(Path(each).absolute())} for each in options.watch]},
        "ship": {
            "addresses": enrolled.addresses,
            "tls": {
                "ca": str(place.authority),
                "certificate": str(place.pair),
                "key": str(place.pair),
            },
        },
    }
