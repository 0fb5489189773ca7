"""`opentrail import`: an agent that reads files once, with the home's own certificate.

It has a spool and a state of its own in HOME/imports, so that an interrupted import goes on, and it
ends when everything is acknowledged. Its progress is its own; this command only starts it.
"""

import argparse
import contextlib
import subprocess
import sys

from opentrail_aggregator.api.settings import dialled
from opentrail_aggregator.certificates import agent_credentials, make_certificates
from opentrail_aggregator.cli.arguments import S3_OPTIONS
from opentrail_aggregator.cli.client import endpoint_of, home_of
from opentrail_aggregator.cli.local_agent import IMPORT_NAME, write_configuration
from opentrail_aggregator.home import Home


def run_import(options: argparse.Namespace) -> int:
    """Run the agent in this terminal; its exit code."""
    home = Home(home_of(options).absolute())
    address = dialled(str(endpoint_of(home.path)["grpc"]), "grpc.listen")
    credentials = agent_credentials(home.pki, IMPORT_NAME)
    if not credentials.exist:
        make_certificates(home.pki, ["localhost"], [IMPORT_NAME])
    configuration = write_configuration(home.imports, IMPORT_NAME, address, credentials)
    program = [sys.executable, "-m", "opentrail_agent", "import", "--config", str(configuration)]
    for name, _, _ in S3_OPTIONS:
        value = getattr(options, name.replace("-", "_"))
        program += [f"--{name}={value}"] if value else []
    program += ["--s3-path-style"] if options.s3_path_style else []
    program += [f"--redact={options.redact}"]
    process = subprocess.Popen([*program, "--", *options.paths])
    while True:
        # Ctrl-C reaches the agent too; it notes how far it is, and this waits for that.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()
