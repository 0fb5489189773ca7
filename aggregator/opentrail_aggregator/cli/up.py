"""`opentrail up`: an aggregator and an agent on this machine, in the foreground.

    opentrail up ── aggregator (supervisor) ── ingest, consolidate+archive, index, api
                 ├─ agent, following --watch and the sample
                 └─ sample, if asked for

The three are watched like the aggregator watches its roles. Nothing here holds an event, so nothing
has to be saved at the end: a stop is a crash with manners.
"""

import argparse
import signal
import socket
import sys
from pathlib import Path

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail.files import DISK
from opentrail.s3_url import parse_s3_url
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.access.key_file import LOCAL_NAME, read_key_file
from opentrail_aggregator.api.settings import (
    dialled,
    parse_address,
    refuse_open_plaintext,
    url_of,
)
from opentrail_aggregator.certificates import (
    agent_credentials,
    make_certificates,
    server_credentials,
)
from opentrail_aggregator.cli.client import Server, home_of
from opentrail_aggregator.cli.local_agent import IMPORT_NAME, NAME, write_configuration
from opentrail_aggregator.cli.progress import ProgressReader
from opentrail_aggregator.cli.screen import PlainScreen, Screen, TerminalScreen
from opentrail_aggregator.cli.settings_of_home import configuration_of, remember, settings_of
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.home import Home
from opentrail_aggregator.sample.producer import FILE_NAME
from opentrail_aggregator.supervise.child import ChildSpec
from opentrail_aggregator.supervise.lock import acquire_lock
from opentrail_aggregator.supervise.parent import die_with_parent
from opentrail_aggregator.supervise.report import Report
from opentrail_aggregator.supervise.supervisor import Supervisor
from opentrail_aggregator.version import VERSION

STOP_SECONDS = 9.0
"""Everything ends within ten seconds."""
_TURN_SECONDS = 0.5


def up(options: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    die_with_parent()
    clock = SystemClock()
    home = Home(home_of(options).absolute())
    DISK.make_directory(home.path)
    overrides = overrides_of(home, options)
    settings, aggregator = aggregator_of(home, overrides)
    lock = acquire_lock(home.run / "locks" / "up.lock", clock)
    remember(home.path, overrides)
    ensure_first_key(home.keys, clock)
    credentials = agent_credentials(home.pki, NAME)
    has_certificates = credentials.exist and server_credentials(home.pki).exist
    if not has_certificates:
        _make_certificates(home, settings)
    watch = [*options.watch]
    if options.sample:
        watch.append(str(home.sample / f"{FILE_NAME}*"))
    address = dialled(settings.grpc.listen, "grpc.listen")
    agent = write_configuration(home.agent, NAME, address, credentials, watch)

    screen = _screen(home, settings, options, clock)
    report = Report(clock, out=screen.say)
    supervisor = Supervisor(
        [aggregator, _agent(agent), *_sample(home, options)],
        clock=clock,
        on_line=report.line,
        on_end=report.ended,
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.request_stop())
    progress = ProgressReader(_own_server(home, settings), clock)
    progress.start()
    if has_certificates:
        # They may run out soon or lack a host: seen to while the rest starts. What is made anew is
        # taken up at the next connection.
        supervisor.turn(0.0)
        _make_certificates(home, settings)
    while not supervisor.stopping:
        supervisor.turn(_TURN_SECONDS)
        screen.show(progress.latest())
    progress.stop()
    report.say("stopping; what was acknowledged is on disk, the next start goes on from there")
    supervisor.stop(STOP_SECONDS)
    screen.close()
    lock.release()
    return supervisor.exit_code or 0


def _own_server(home: Home, settings: AggregatorSettings) -> Server:
    """The aggregator started from here, asked with the home's first key."""
    key = read_key_file(home.keys / LOCAL_NAME)
    return Server(url_of(settings.http), key, settings.http.tls.certificate)


def _make_certificates(home: Home, settings: AggregatorSettings) -> None:
    host, _ = parse_address(settings.grpc.listen, "grpc.listen")
    hosts = {host, "localhost", "127.0.0.1", "::1", socket.gethostname()}
    make_certificates(home.pki, hosts, [NAME, IMPORT_NAME])


def overrides_of(home: Home, options: argparse.Namespace) -> dict[str, str]:
    """Settings that the command line names."""
    overrides = {"home": str(home.path)}
    if options.http:
        overrides["http.listen"] = options.http
    if options.grpc:
        overrides["grpc.listen"] = options.grpc
    if options.opensearch:
        overrides |= {"opensearch.url": options.opensearch, "index.engine": "opensearch"}
    if options.archive:
        bucket, prefix = parse_s3_url(options.archive, "--archive")
        overrides |= {"archive.destination": "s3", "archive.bucket": bucket}
        if prefix.strip("/"):
            overrides["archive.prefix"] = prefix.strip("/")
    return overrides


def aggregator_of(home: Home, overrides: dict[str, str]) -> tuple[AggregatorSettings, ChildSpec]:
    """The aggregator's settings, checked before anything is started, and how to start it."""
    path = configuration_of(home.path)
    settings = settings_of(home.path, overrides)
    refuse_open_plaintext(settings.http)
    for text, name in ((settings.http.listen, "--http"), (settings.grpc.listen, "--grpc")):
        if parse_address(text, name)[1] == 0:
            raise ConfigError(f"{name}: port 0 is for tests of single roles; name a port here")
    argv = [sys.executable, "-m", "opentrail_aggregator", "run"]
    argv += ["--config", str(path)] if path else ["--no-config"]
    for name, value in overrides.items():
        argv += ["--set", f"{name}={value}"]
    return settings, ChildSpec("aggregator", argv)


def _agent(configuration: Path) -> ChildSpec:
    argv = [sys.executable, "-m", "opentrail_agent", "run", "--config", str(configuration)]
    return ChildSpec("agent", [*argv, "--with-parent"])


def _sample(home: Home, options: argparse.Namespace) -> list[ChildSpec]:
    if not options.sample:
        return []
    program = "opentrail_aggregator.sample.producer"
    argv = [sys.executable, "-m", program, str(home.sample), str(options.sample)]
    return [ChildSpec("sample", argv)]


def _screen(
    home: Home, settings: AggregatorSettings, options: argparse.Namespace, clock: SystemClock
) -> Screen:
    what = ", ".join(options.watch) or "nothing"
    if options.sample:
        what = f"a sample of {options.sample:g} events/s" + (
            f" and {', '.join(options.watch)}" if options.watch else ""
        )
    heading = [
        f"OpenTrail {VERSION}   search {url_of(settings.http)}   "
        f"agents {settings.grpc.listen}   home {home.path}",
        f"following {what}"
        if what != "nothing"
        else "following nothing: --sample or --watch FILES",
    ]
    where = "" if home.path == Path("var").absolute() else f" --home {home.path}"
    heading += [
        f"  opentrail lookup{where} --limit 5      the newest events",
        f"  opentrail count{where} --by eventSource",
        f"  opentrail status{where}                is anything missing?   Ctrl-C ends this",
    ]
    if sys.stdout.isatty():
        return TerminalScreen(clock, heading, home.run / "up.log")
    screen = PlainScreen(clock)
    for line in heading:
        screen.say(line)
    return screen
