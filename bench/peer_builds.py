"""Where the peers come from: built or unpacked into a cache folder, never installed.

rsyslog and syslog-ng are Debian's packages; they conflict, so they are downloaded and unpacked
side by side (`dpkg -x`) and run from there.  The OpenTelemetry Collector is assembled by its own
builder from Go modules.  Its contrib modules are not all published at one version: the ones
below are the newest set that builds.  A peer that cannot be had on this machine raises
`PeerMissing`; the table then says so in its row instead of leaving it out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("OPENTRAIL_BENCH_CACHE", Path.home() / ".cache" / "opentrail"))

OTEL_VERSION = "v0.149.0"
CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
CORE = "go.opentelemetry.io/collector"
OTEL_MANIFEST = f"""\
dist: {{name: otelcol-ot, output_path: ./build}}
extensions:
  - gomod: {CONTRIB}/extension/storage/filestorage {OTEL_VERSION}
receivers:
  - gomod: {CONTRIB}/receiver/filelogreceiver {OTEL_VERSION}
  - gomod: {CORE}/receiver/otlpreceiver {OTEL_VERSION}
processors:
  - gomod: {CORE}/processor/batchprocessor {OTEL_VERSION}
exporters:
  - gomod: {CORE}/exporter/otlpexporter {OTEL_VERSION}
  - gomod: {CORE}/exporter/otlphttpexporter {OTEL_VERSION}
  - gomod: {CORE}/exporter/debugexporter {OTEL_VERSION}
  - gomod: {CONTRIB}/exporter/fileexporter v0.150.0
providers:
  - gomod: {CORE}/confmap/provider/fileprovider v1.55.0
  - gomod: {CORE}/confmap/provider/yamlprovider v1.55.0
  - gomod: {CORE}/confmap/provider/envprovider v1.55.0
replaces:
  - {CONTRIB}/internal/sharedcomponent => {CONTRIB}/internal/sharedcomponent {OTEL_VERSION}
"""

# With the libraries a slim machine may lack; those it has are simply unused copies.
RSYSLOG_PACKAGES = [
    "rsyslog",
    "rsyslog-relp",
    "librelp0",
    "libestr0",
    "libfastjson4",
    "liblognorm5",
    "libgnutls30",
]
SYSLOG_NG_PACKAGES = [
    "syslog-ng-core",
    "libivykis0",
    "libnet1",
    "libjson-c5",
    "libwrap0",
    "libglib2.0-0",
    "libcap2",
    "libpcre3",
]


class PeerMissing(RuntimeError):
    """This peer cannot be had on this machine; the message says which step failed."""


def otel_collector() -> Path:
    """The path of a collector with filelog, otlp, a persistent queue and a file exporter."""
    folder = CACHE / f"otel-{OTEL_VERSION}"
    binary = folder / "build" / "otelcol-ot"
    if binary.exists():
        return binary
    if shutil.which("go") is None:
        raise PeerMissing("no `go` on this machine: the OpenTelemetry Collector is built with it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.yaml").write_text(OTEL_MANIFEST)
    environment = os.environ | {"GOBIN": str(folder / "bin"), "GOFLAGS": "-mod=mod"}
    module = f"{CORE}/cmd/builder@{OTEL_VERSION}"
    _step(["go", "install", module], folder, environment)
    # Without `go mod tidy`: it wants test dependencies that need not exist anywhere.
    builder = [str(folder / "bin" / "builder"), "--config", "manifest.yaml"]
    _step([*builder, "--skip-compilation", "--skip-get-modules"], folder, environment)
    compile_ = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
    _step([*compile_, "-o", "otelcol-ot", "."], folder / "build", environment)
    return binary


def rsyslog() -> Path:
    """The folder that holds an unpacked rsyslog (`usr/sbin/rsyslogd` in it)."""
    return _unpacked("rsyslog", RSYSLOG_PACKAGES, "usr/sbin/rsyslogd")


def syslog_ng() -> Path:
    """The folder that holds an unpacked syslog-ng (`usr/sbin/syslog-ng` in it)."""
    return _unpacked("syslog-ng", SYSLOG_NG_PACKAGES, "usr/sbin/syslog-ng")


def library_path(root: Path) -> str:
    """What LD_LIBRARY_PATH must be for a daemon unpacked at `root`."""
    machine = f"{os.uname().machine}-linux-gnu"
    places = [root / "usr/lib" / machine, root / "lib" / machine, root / "usr/lib/syslog-ng"]
    return ":".join(str(place) for place in places)


def _unpacked(name: str, packages: list[str], binary: str) -> Path:
    root = CACHE / name
    if (root / binary).exists():
        return root
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise PeerMissing(f"no apt-get and dpkg on this machine: {name} is taken from Debian")
    downloads = CACHE / f"{name}-packages"
    downloads.mkdir(parents=True, exist_ok=True)
    _step(["apt-get", "download", *packages], downloads, dict(os.environ))
    staging = CACHE / f"{name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    for package in sorted(downloads.glob("*.deb")):
        _step(["dpkg", "-x", str(package), str(staging)], downloads, dict(os.environ))
    staging.rename(root)
    return root


def _step(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["nice", "-n", "15", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-8:])
        raise PeerMissing(f"`{' '.join(command[:4])} …` in {folder} failed:\n{tail}")
