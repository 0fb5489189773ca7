"""`opentrail import`: an agent that reads files once, with the home's own certificate.

It has a spool and a state of its own in HOME/imports, so that an interrupted import goes on, and it
ends when everything is acknowledged. Its progress is its own; this command only starts it.
"""

import argparse
import contextlib
import subprocess
import sys

from opentrail.clock import SystemClock
from opentrail_aggregator.api.settings import parse_address
from opentrail_aggregator.cli.client import endpoint_of, home_of
from opentrail_aggregator.cli.local_agent import IMPORT_NAME, write_configuration
from opentrail_aggregator.home import Home
from opentrail_aggregator.pki import DevelopmentPki

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def run_import(options: argparse.Namespace) -> int:
    """Run the agent in this terminal; its exit code."""
    home = Home(home_of(options).absolute())
    address = _dialled(str(endpoint_of(home.path)["grpc"]))
    credentials = DevelopmentPki(home.pki, SystemClock()).agent(IMPORT_NAME)
    configuration = write_configuration(home.imports, IMPORT_NAME, address, credentials)
    program = [sys.executable, "-m", "opentrail_agent", "import", "--config", str(configuration)]
    process = subprocess.Popen([*program, "--", *options.paths])
    while True:
        # Ctrl-C reaches the agent too; it notes how far it is, and this waits for that.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def _dialled(listening: str) -> str:
    """The address that reaches a listener on this machine."""
    host, port = parse_address(listening, "grpc.listen")
    host = _EVERYWHERE.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
