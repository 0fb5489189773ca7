"""rsyslog's omelasticsearch and syslog-ng's http destination, each tuned, into `_bulk`.

Alone (a followed file into the server) and as a pair (agent, aggregator, server). Debian's
packages, unpacked into the cache. Neither gives a document an id of its own here, so
what either sends again after an error is there twice.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import peer_configs as c
from bench.peer_builds import (
    RSYSLOG_PACKAGES,
    SYSLOG_NG_PACKAGES,
    _unpacked,
    library_path,
)

INDEX = "opentrail-events-peer"
"""Matches OpenTrail's index template, so the mapping is the same."""
BATCH = 2048
_OMELASTIC = (
    """\
module(load="omelasticsearch")
template(name="raw" type="string" string="%msg%")
action(type="omelasticsearch" server="127.0.0.1" serverport="{server}" template="raw"
  searchIndex=\""""
    + INDEX
    + """\" searchType="" bulkmode="on" maxbytes="5m" writeoperation="index"
  queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="2048"
  queue.workerThreads="2" action.resumeRetryCount="-1")
"""
)
_HTTP = (
    """\
destination o {{ http(url("http://127.0.0.1:{server}/_bulk") method("POST")
  headers("Content-Type: application/x-ndjson") delimiter("\\n") body-suffix("\\n")
  body('{{"create":{{"_index":\""""
    + INDEX
    + """\"}}}}
$MESSAGE') batch-lines(2048) batch-bytes(5242880) batch-timeout(500) workers(2)); }};
"""
)
_NG_FILE = """\
source s {{ file("{corpus}" flags(no-parse) follow-freq(0.1) log-fetch-limit(1000)
  log-iw-size(100000)); }};
"""
_NG_TCP = """\
source s {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(syslog-protocol)
  log-iw-size(100000) log-fetch-limit(1000) max-connections(4)); }};
"""
_NG_LOG = "log {{ source(s); destination(o); flags(flow-control); }};\n"
_RELP_IN = """\
module(load="imrelp")
input(type="imrelp" port="{port}" address="127.0.0.1" maxDataSize="64k")
"""


@dataclass(frozen=True, slots=True)
class BulkPeer:
    name: str
    family: str
    alone: str
    agent: str
    aggregator: str


PEERS = [
    BulkPeer("rsyslog, omelasticsearch", "rsyslog", c.RSYSLOG_AGENT + _OMELASTIC,
             c.RSYSLOG_RELP_AGENT, c.RSYSLOG_GLOBAL + _RELP_IN + _OMELASTIC),
    BulkPeer("syslog-ng, http", "syslog-ng", c.SYSLOG_NG_OPTIONS + _NG_FILE + _HTTP + _NG_LOG,
             c.SYSLOG_NG_AGENT, c.SYSLOG_NG_OPTIONS + _NG_TCP + _HTTP + _NG_LOG),
]  # fmt: skip


def root_of(peer: BulkPeer) -> Path:
    """Where it is unpacked; PeerMissing where it cannot be had."""
    if peer.family == "rsyslog":
        packages = [*RSYSLOG_PACKAGES, "rsyslog-elasticsearch", "libcurl4"]
        return _unpacked("rsyslog-bulk", packages, "usr/sbin/rsyslogd")
    packages = [*SYSLOG_NG_PACKAGES, "syslog-ng-mod-http", "libcurl4"]
    return _unpacked("syslog-ng-bulk", packages, "usr/sbin/syslog-ng")


@contextlib.contextmanager
def running(
    peer: BulkPeer, text: str, work: Path, **values: object
) -> Iterator[subprocess.Popen[bytes]]:
    """One daemon of `peer` with the configuration `text`."""
    root = root_of(peer)
    work.mkdir()
    config = work / "config"
    config.write_text(text.format(work=work, **values))
    if peer.family == "rsyslog":
        modules = root / "usr/lib" / f"{os.uname().machine}-linux-gnu" / "rsyslog"
        command = [str(root / "usr/sbin/rsyslogd"), "-n", "-f", str(config)]
        command += ["-i", str(work / "pid"), "-M", str(modules)]
    else:
        command = [str(root / "usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", str(config)]
        command += ["-R", str(work / "persist"), "-c", str(work / "control")]
        command += ["-p", str(work / "pid")]
        command += [f"--module-path={root / 'usr/lib/syslog-ng/3.38'}"]
    with open(work / "log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=work,
            env=os.environ | {"LD_LIBRARY_PATH": library_path(root)},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
