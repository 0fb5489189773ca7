"""The commands of `opentrail-aggregator`: the daemon, and tools that look inside its log."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from opentrail.clock import SystemClock
from opentrail.completion import add_completion, completion_of
from opentrail.errors import ConfigError, OpenTrailError, UsageError
from opentrail.logs import set_up_logs
from opentrail_aggregator.app import (
    DEFAULT_GROUPS,
    ROLES,
    SERVING,
    STEPPING,
    Parts,
    groups_in_use,
    parse_groups,
)
from opentrail_aggregator.config import DEFAULT_FILE, AggregatorSettings, load
from opentrail_aggregator.identity.commands import add_commands
from opentrail_aggregator.metrics import Metrics
from opentrail_aggregator.rebuild.command import add_command as add_rebuild
from opentrail_aggregator.rebuild.remains import may_start
from opentrail_aggregator.supervise.child import ChildSpec, Ended
from opentrail_aggregator.supervise.lock import acquire_lock
from opentrail_aggregator.supervise.parent import die_with_parent
from opentrail_aggregator.supervise.reload import Reloader
from opentrail_aggregator.supervise.report import Report
from opentrail_aggregator.supervise.runner import Publisher, Reloadable, run_process
from opentrail_aggregator.supervise.supervisor import Supervisor
from opentrail_aggregator.version import VERSION

STOP_SECONDS = 7.0
"""What the roles get to end in order: within the ten seconds that everything gets."""

_log = logging.getLogger(__name__)
_LEAN = {
    # One arena per thread is memory for speed that these processes do not need.
    "MALLOC_ARENA_MAX": "2",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["wal"]:
        from opentrail_aggregator.wal.tools import main as wal_main

        return _guarded(lambda: wal_main(arguments[1:]))
    options = _parser().parse_args(arguments)
    return _guarded(lambda: int(options.function(options)))


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except OpenTrailError as error:
        print(f"opentrail-aggregator: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    """The supervisor: one process for each group of roles."""
    die_with_parent()
    settings = _settings(options)
    groups = groups_in_use(parse_groups(options.roles), settings)
    if any("ingest" in group for group in groups):
        _refuse_without_certificates(settings)
    clock = SystemClock()
    home = settings.place
    home.run.mkdir(parents=True, exist_ok=True)
    lock = acquire_lock(home.run / "locks" / "supervisor.lock", clock)
    metrics = Metrics("supervisor", clock)
    _set_up_logs(settings, "supervisor", metrics)
    if any("ingest" in group for group in groups):
        _refuse_second_history(settings)
    for group in groups:
        # Also the ones that never fail: health knows from here which roles should run.
        metrics.increment("opentrail_process_restarts_total", 0, process="+".join(group))
    report = Report(clock, metrics, logging=settings.logging)
    publisher = Publisher(home, [metrics], clock)
    reloader = _reloader(options, settings, clock, metrics, report)

    def on_end(ended: Ended, delay: float | None) -> None:
        report.ended(ended, delay)
        if reloader is not None:
            reloader.ended(ended)

    supervisor = Supervisor(
        [_child(group, options, reloader) for group in groups],
        clock=clock,
        on_line=report.line,
        on_end=on_end,
    )

    def on_hangup(*_: object) -> None:
        if reloader is not None:
            reloader.asked = True
            supervisor.wake()

    signal.signal(signal.SIGHUP, on_hangup)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.request_stop())
    running = ",".join("+".join(group) for group in groups)
    report.say(f"opentrail-aggregator {VERSION}: {running} in {home.path}")
    while not supervisor.stopping:
        supervisor.turn(1.0)
        report.look(supervisor.children)
        if reloader is not None:
            reloader.look(supervisor)
            report.logging = reloader.settings.logging
        publisher.publish_if_due()
    report.say("stopping")
    supervisor.stop(STOP_SECONDS)
    publisher.publish()
    lock.release()
    return supervisor.exit_code or 0


def _refuse_second_history(settings: AggregatorSettings) -> None:
    if may_start(settings.place) or settings.archive.shared:
        return
    from opentrail_aggregator.archive_source import destination_of
    from opentrail_aggregator.rebuild.guard import refuse_second_history

    refuse_second_history(settings.place, destination_of(settings), settings.archive.prefix)


def _refuse_without_certificates(settings: AggregatorSettings) -> None:
    pki = settings.place.pki
    for name, given, made in (
        ("certificate", settings.grpc.certificate, pki / "server.crt"),
        ("key", settings.grpc.key, pki / "server.key"),
        ("authority", settings.grpc.authority, pki / "ca.crt"),
    ):
        path = given or made
        if not path.exists():
            raise ConfigError(
                f"grpc.{name}: {path} does not exist; agents connect with mutual TLS: name your "
                "files with grpc.certificate, grpc.key and grpc.authority, or let `opentrail up "
                f"--home {settings.home}` make development ones"
            )


def _reloader(
    options: argparse.Namespace,
    settings: AggregatorSettings,
    clock: SystemClock,
    metrics: Metrics,
    report: Report,
) -> Reloader | None:
    """What SIGHUP does; nothing where there is no file to read again."""
    path = _file(options)
    if path is None:
        return None

    def checked(candidate: Path) -> AggregatorSettings:
        found = load(candidate, _overrides(options))
        _refuse_without_certificates(found)
        return found

    place = settings.place.run / "config"
    return Reloader(path, place, settings, checked, clock, metrics, report.say)


def _child(
    group: tuple[str, ...], options: argparse.Namespace, reloader: Reloader | None
) -> ChildSpec:
    name = "+".join(group)
    argv = [sys.executable, "-m", "opentrail_aggregator", "role", name]
    if reloader is not None:
        argv += ["--config", str(reloader.copy)]
    elif options.no_config:
        argv.append("--no-config")
    for each in options.set:
        argv += ["--set", each]
    return ChildSpec(name, argv, _LEAN)


def _role(options: argparse.Namespace) -> int:
    """One group of roles, in this process."""
    die_with_parent()
    settings = _settings(options)
    (group,) = parse_groups(options.group)
    clock = SystemClock()
    home = settings.place
    locks = [acquire_lock(home.run / "locks" / f"{role}.lock", clock) for role in group]
    by_role = {role: Metrics(role, clock) for role in group}
    _set_up_logs(settings, options.group, by_role[group[0]])
    servers, roles = [], []
    for role in sorted(group, key=ROLES.index):
        parts = Parts(settings, clock, by_role[role])
        if role in SERVING:
            servers.append(SERVING[role](parts))
        else:
            roles.append(STEPPING[role](parts))

    async def reload() -> None:
        for server in servers:
            if isinstance(server, Reloadable):
                try:
                    await server.reload(_settings(options))
                except OpenTrailError as error:
                    _log.error("not taken up yet: %s", error)

    run_process(servers, roles, Publisher(home, list(by_role.values()), clock), clock, reload)
    for lock in locks:
        lock.release()
    return 0


def _validate(options: argparse.Namespace) -> int:
    """Say whether a configuration can be used."""
    settings = _settings(options)
    print(f"{options.config or 'the defaults'}: can be used; home is {settings.home}")
    return 0


def _completion(options: argparse.Namespace) -> int:
    print(completion_of(_parser(), options.shell))
    return 0


def _file(options: argparse.Namespace) -> Path | None:
    """The configuration file, if there is one."""
    path: Path | None = options.config
    if path is None and not options.no_config and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return path


def _settings(options: argparse.Namespace) -> AggregatorSettings:
    return load(_file(options), _overrides(options))


def _set_up_logs(settings: AggregatorSettings, role: str, metrics: Metrics) -> None:
    def on_held(logger: str) -> None:
        metrics.increment("opentrail_lines_held_total", logger=logger)

    set_up_logs(settings.logging, role, on_held=on_held)


def _settings_of_command(options: argparse.Namespace) -> AggregatorSettings:
    """For a command that a person waits for."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    return _settings(options)


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    overrides: dict[str, str] = {}
    for each in options.set:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"--set {each}: write it as --set archive.settle=2s")
        overrides[name] = value
    if getattr(options, "home", None):
        overrides["home"] = str(options.home)
    return overrides


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="opentrail-aggregator",
        formatter_class=formatter,
        description="Takes in what agents send, keeps it once, makes it searchable, archives it.",
        epilog=f"""\
Examples:
  opentrail-aggregator validate --config aggregator.yaml    is this configuration right?
  opentrail-aggregator run --config aggregator.yaml
  opentrail-aggregator run --roles ingest,consolidate       only a part, for a while
  opentrail-aggregator rebuild --config aggregator.yaml     its disk is lost, the archive is not
  opentrail-aggregator wal status --home /var/lib/opentrail what is in the log?

Roles are {", ".join(ROLES)}. A comma separates processes, a plus puts
roles into one; the default is {DEFAULT_GROUPS}.
To try it all on one machine: opentrail up --sample
""",
    )
    parser.add_argument("--version", action="version", version=f"opentrail-aggregator {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run in the foreground until SIGTERM")
    run.add_argument("--roles", default=DEFAULT_GROUPS, metavar="ROLES",
                     help=f"which, in which processes (default {DEFAULT_GROUPS})")  # fmt: skip
    run.set_defaults(function=_run)
    validate = commands.add_parser("validate", help="check a configuration: exit code 0 or 78")
    validate.set_defaults(function=_validate)
    role = commands.add_parser("role")  # What `run` starts; not for people, so without help.
    role.add_argument("group")
    role.set_defaults(function=_role)
    identity = add_commands(commands, _settings_of_command)
    for each in identity:
        each.add_argument("--home", type=Path, metavar="DIR", help="instead of a configuration's")
    rebuild = add_rebuild(commands, _settings_of_command)
    for each in (run, validate, rebuild, role, *identity):
        each.add_argument("--config", type=Path, metavar="FILE",
                          help=f"YAML (default {DEFAULT_FILE} if it is there)")  # fmt: skip
        # For `opentrail up`, which must not take up what a package put into /etc.
        each.add_argument("--no-config", action="store_true", help=argparse.SUPPRESS)
        each.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                          help="override one setting; may be given again")  # fmt: skip
    add_completion(commands).set_defaults(function=_completion)
    commands.add_parser("wal", help="look inside the log: wal status|dump|check|repair")
    return parser
