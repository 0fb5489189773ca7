"""`opentrail-aggregator ca`, `tokens` and `certificates`: they work in the home folder itself.

A running aggregator takes every change up: tokens with the next request, grants and revocations
within a second.
"""

import argparse
import json
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from opentrail.certificate import certificates_in, facts_of, fingerprint_of
from opentrail.clock import SystemClock
from opentrail.errors import ConfigError, UsageError
from opentrail.settings import parse_seconds
from opentrail_aggregator.access.first_key import ensure_first_key
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.certificates import make_certificates, server_credentials
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.identity.register import Register
from opentrail_aggregator.identity.tokens import TokenStore

Load = Callable[[argparse.Namespace], AggregatorSettings]


def ca_init(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Make authority, certificate and first key; what is there stays."""
    pki = settings.place.pki
    hosts = {*options.host} or {"localhost", "127.0.0.1", "::1", socket.gethostname()}
    make_certificates(pki, hosts, [])
    ensure_first_key(settings.place.keys, SystemClock())
    server = server_credentials(pki)
    authority = server.authority.read_text()
    print(f"authority    {server.authority}, until {_day(facts_of(authority).not_after)}")
    print(f"fingerprint  {fingerprint_of(certificates_in(authority)[0])}")
    print(f"aggregator   {server.certificate}, for {', '.join(sorted(hosts))}, until "
          f"{_day(facts_of(server.certificate.read_text()).not_after)}")  # fmt: skip
    if settings.http.tls.certificate is None:
        print("\nAgents enrol over HTTPS; in the configuration:\n"
              "  grpc: {listen: 0.0.0.0:8471}\n"
              "  http:\n    listen: 0.0.0.0:8470\n"
              f"    tls: {{certificate: {server.certificate}, key: {server.key}}}")  # fmt: skip
    return 0


def tokens_create(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Print a new join token."""
    try:
        scope = Scope(tuple(options.account) or ("*",), tuple(options.region) or ("*",))
        life = parse_seconds(options.life)
    except ValueError as error:
        raise UsageError(str(error)) from None
    token = _tokens(settings).create(
        options.names,
        scope,
        fingerprint=_fingerprint(settings),
        uses=options.uses,
        life_seconds=life,
        replaces=options.replaces,
    )
    print(token)
    if sys.stdout.isatty():
        print(f"for {options.uses} agent(s) named {options.names}, {options.life} from now; it is "
              "not shown again", file=sys.stderr)  # fmt: skip
    return 0


def tokens_list(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Every token that is remembered, without its secret."""
    now = SystemClock().now_ns() // 10**9
    for each in _tokens(settings).list():
        print(f"{each.id}  {each.state(now):8}  {each.used}/{each.uses}  until "
              f"{_moment(each.expires_at)}  {each.names}  accounts {','.join(each.scope.accounts)}"
              f"  regions {','.join(each.scope.regions)}")  # fmt: skip
    return 0


def tokens_revoke(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Let nobody in by a token any more."""
    _tokens(settings).revoke(options.id)
    print(f"{options.id} is revoked; agents that came by it stay")
    return 0


def certificates_list(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Agents that were enrolled here, and their certificates."""
    register = _register(settings)
    revoked = register.revoked()
    if options.output == "json":
        print(json.dumps({"agents": register.agents(), "revoked": revoked}, indent=1))
        return 0
    for name, entry in sorted(register.agents().items()):
        for each in entry["certificates"]:
            state = "revoked" if each["serial"] in revoked else "good"
            granted = f"{','.join(entry['accounts'])}  regions {','.join(entry['regions'])}"
            until = _moment(each["not_after"])
            print(f"{name}  {each['serial']}  {state}  until {until}  accounts {granted}")
    return 0


def certificates_revoke(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Believe an agent's certificates, or one serial, no more."""
    register = _register(settings)
    if options.serial:
        serial = f"{int(options.which.replace(':', ''), 16):x}"
        register.revoke(serial, options.reason)
        print(f"{serial} is revoked")
        return 0
    serials = register.revoke_agent(options.which, options.reason)
    what = ", ".join(serials) or "nothing, all have run out"
    print(f"{options.which}: revoked {what}; its streams end within five seconds")
    return 0


def certificates_forget(options: argparse.Namespace, settings: AggregatorSettings) -> int:
    """Revoke an agent's certificates and take its grant off the list."""
    register = _register(settings)
    register.revoke_agent(options.name, "forgotten")
    register.forget(options.name)
    print(f"{options.name} is forgotten here; `opentrail agents retire` takes it out of manifests")
    return 0


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", load: Load
) -> list[argparse.ArgumentParser]:
    """Put `ca`, `tokens` and `certificates` on a command line; the parsers that need --config."""

    def add(
        group: "argparse._SubParsersAction[argparse.ArgumentParser]",
        name: str,
        function: Callable[[argparse.Namespace, AggregatorSettings], int],
        meaning: str,
    ) -> argparse.ArgumentParser:
        parser = group.add_parser(name, help=meaning, description=meaning)
        parser.set_defaults(function=lambda options: function(options, load(options)))
        made.append(parser)
        return parser

    made: list[argparse.ArgumentParser] = []
    ca = _group(commands, "ca", "the authority that makes agents' certificates")
    init = add(ca, "init", ca_init, "make the authority and the aggregator's certificate")
    hosts = "a name agents dial; may be given again (default: this host)"
    init.add_argument("--host", action="append", default=[], metavar="NAME", help=hosts)
    tokens = _group(commands, "tokens", "join tokens, by which agents get their first certificate")
    create = add(tokens, "create", tokens_create, "print a new join token")
    create.add_argument("names", metavar="NAMES", help="agent names it is for, a pattern: 'web-*'")
    create.add_argument("--uses", type=int, default=1, metavar="N", help="for so many agents")
    create.add_argument("--life", default="1h", metavar="TIME", help="how long it is good (1h)")
    speak = "accounts the agents speak for (default: what the configured grants say)"
    create.add_argument("--account", action="append", default=[], metavar="PATTERN", help=speak)
    create.add_argument(
        "--region", action="append", default=[], metavar="PATTERN", help="regions likewise"
    )
    again = "also for a name that is in use: a host that was set up again"
    create.add_argument("--replaces", action="store_true", help=again)
    add(tokens, "list", tokens_list, "every token, without its secret")
    add(tokens, "revoke", tokens_revoke, "let nobody in by it").add_argument("id", metavar="ID")
    given = _group(commands, "certificates", "certificates of enrolled agents")
    listing = add(given, "list", certificates_list, "agents and their certificates")
    listing.add_argument("--output", choices=("text", "json"), default="text")
    revoke = add(given, "revoke", certificates_revoke, "believe a certificate no more")
    revoke.add_argument("which", metavar="AGENT|SERIAL")
    revoke.add_argument("--serial", action="store_true",
                        help="it is a serial (hexadecimal), of whatever authority")  # fmt: skip
    revoke.add_argument("--reason", default="", metavar="TEXT")
    forget = add(given, "forget", certificates_forget, "revoke all of an agent, drop its grant")
    forget.add_argument("name", metavar="AGENT")
    return made


def _group(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, meaning: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    parser = commands.add_parser(name, help=meaning, description=meaning)
    return parser.add_subparsers(metavar="ACTION", required=True)


def _fingerprint(settings: AggregatorSettings) -> str:
    path = settings.place.pki / "ca.crt"
    try:
        return fingerprint_of(certificates_in(path.read_text())[0])
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no authority here; `opentrail-aggregator ca init` makes one"
        ) from None


def _tokens(settings: AggregatorSettings) -> TokenStore:
    return TokenStore(settings.place.identity, SystemClock())


def _register(settings: AggregatorSettings) -> Register:
    register = Register(settings.place.identity, SystemClock())
    register.refresh()
    return register


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(seconds: int) -> str:
    return _moment(seconds)[:10]
