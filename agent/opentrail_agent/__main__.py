"""`opentrail-agent`: follows sources on this host and ships what they say to an aggregator."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

# Before grpc is imported: its own lines are not ours to format, and the agent never forks.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from opentrail import __version__
from opentrail.completion import add_completion, completion_of
from opentrail.errors import OpenTrailError
from opentrail_agent.s3.options import add_s3_options

Handler = Callable[[argparse.Namespace], int]

EXAMPLES = """\
examples:
  opentrail-agent enroll --token-file token https://aggregator.example:8470 --watch '/var/*.json'
  opentrail-agent run --config /etc/opentrail/agent.yaml
  opentrail-agent validate --config agent.yaml        is the file right? where not?
  opentrail-agent spool status                        what waits, and does it move?
  zcat old.json.gz | opentrail-agent pipe --name old
  opentrail-agent import ~/cloudtrail-2025/

A configuration that follows two files:
  name: web-1                       # as in the agent's certificate
  state: /var/lib/opentrail-agent
  capture:
    watch:
      - path: /var/log/audit/*.json
      - path: /var/log/cloudtrail.json
        account: "111122223333"     # for records that name none
  ship:
    addresses: [aggregator.example:8471]
    tls: {ca: ca.crt, certificate: agent.crt, key: agent.key}

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
`opentrail-agent settings` lists every setting and its environment variable.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    options = parser().parse_args(arguments)
    try:
        return _handler(options.handler)(options)
    except OpenTrailError as error:
        print(f"opentrail-agent: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 1


def _handler(name: str) -> Handler:
    # Imported when needed: --help and --version should not load grpc.
    if name in ("run", "validate", "explain"):
        from opentrail_agent.commands import run

        return {"run": run.run, "validate": run.validate, "explain": run.explain}[name]
    if name == "enroll":
        from opentrail_agent.commands import enroll

        return enroll.enroll
    if name == "completion":
        return _completion
    if name in ("import", "pipe"):
        from opentrail_agent.commands import once

        return {"import": once.import_files, "pipe": once.pipe}[name]
    from opentrail_agent.commands import spool

    return {
        "status": spool.status,
        "dump": spool.dump,
        "check": spool.check_all,
        "rehome": spool.rehome,
    }[name]


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        "opentrail-agent",
        description="Capture events on this host and ship them to an aggregator, none lost, "
        "none twice.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"opentrail-agent {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    run = _add(commands, "run", "run", "follow the configured sources until stopped")
    _with_parent(run)
    _add(commands, "validate", "validate", "say whether a configuration can be used, and where not")
    settings = commands.add_parser("settings", help="list every setting with its meaning")
    settings.set_defaults(handler="explain")
    _enroll(commands)
    importing = _add(commands, "import", "import", "send files and folders, each event once")
    importing.add_argument("paths", nargs="+", metavar="FILE|DIR|s3://BUCKET/PREFIX")
    add_s3_options(importing)
    _once(importing, "STATE/import")
    pipe = _add(commands, "pipe", "pipe", "send what comes on standard input")
    pipe.add_argument("--name", default="stdin", help="what the source is called (default: stdin)")
    _once(pipe, "STATE/pipe")
    _spool(commands)
    add_completion(commands).set_defaults(handler="completion")
    return top


def _enroll(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    meaning = "get a certificate with a join token, and write a first configuration"
    command = commands.add_parser("enroll", help=meaning, description=meaning)
    command.add_argument("url", metavar="URL", help="of the aggregator: https://HOST:8470")
    command.add_argument("--token", default="", help="the join token; others can see it in `ps`")
    command.add_argument("--token-file", default="", metavar="FILE", help="it stands here; - reads")
    command.add_argument("--name", default="", help="this agent's name (default: the host's)")
    command.add_argument("--watch", action="append", default=[], metavar="FILES",
                         help="what to follow, a pattern; may be given again")  # fmt: skip
    command.add_argument("--state", default="/var/lib/opentrail-agent", metavar="DIR",
                         help="where it keeps everything")  # fmt: skip
    command.add_argument("--config", default="/etc/opentrail/agent.yaml", metavar="FILE",
                         help="written if it is not there")  # fmt: skip
    command.add_argument("--if-needed", action="store_true",
                         help="do nothing while the certificate in --state is good")  # fmt: skip
    answers = "who answers for the HTTP port, if not the token's authority"
    command.add_argument("--https-ca", default="", metavar="FILE|system", help=answers)
    command.set_defaults(handler="enroll")


def _completion(options: argparse.Namespace) -> int:
    print(completion_of(parser(), options.shell))
    return 0


def _spool(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("spool", help="look into what waits for the aggregator")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    status = _add(actions, "status", "status", "what waits, for which log, and how the agent is")
    status.add_argument("--output", choices=("text", "json"), default="text")
    dump = _add(actions, "dump", "dump", "one line for each batch that waits")
    dump.add_argument("--events", action="store_true", help="print the records instead")
    dump.add_argument("--all", action="store_true", help="also batches already acknowledged")
    check = _add(actions, "check", "check", "read every byte; exit 1 if something is damaged")
    rehome = _add(
        actions, "rehome", "rehome", "give what waits to another aggregator's log (agent stopped)"
    )
    for each in (status, dump, check, rehome):
        each.add_argument("--spool", metavar="DIR", help="the spool's folder, instead of --config")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    handler: str,
    meaning: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=meaning, description=meaning)
    command.add_argument("--config", metavar="FILE", help="default: /etc/opentrail/agent.yaml")
    command.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override one setting"
    )
    command.set_defaults(handler=handler)
    return command


def _once(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--state", metavar="DIR", help=f"its own spool and journal (default: {default})"
    )
    command.add_argument("--account", default="", help="account of records that name none")
    command.add_argument("--region", default="", help="region of records that name none")
    command.add_argument(
        "--redact", choices=("auto", "on", "off"), default="auto",
        help="hide secrets before anything is kept (default: auto, only of mapped sources)",
    )  # fmt: skip
    _with_parent(command)


def _with_parent(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--with-parent", action="store_true", help="end as soon as the parent process ends"
    )


if __name__ == "__main__":
    sys.exit(main())
