"""dashboards install and export: the saved objects for OpenSearch Dashboards."""

import argparse
import sys
from pathlib import Path

from opentrail.errors import ConfigError, OpenTrailError, UsageError
from opentrail_aggregator.dashboards.install import Dashboards
from opentrail_aggregator.dashboards.objects import BOARDS, ndjson, saved_objects
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.wire import Wire


def export(options: argparse.Namespace) -> int:
    """`opentrail dashboards export FILE`."""
    objects = saved_objects(options.workspace)
    if options.file == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(ndjson(objects))
        return 0
    path = Path(options.file)
    if path.suffix != ".ndjson":
        raise UsageError(f"{path}: Dashboards imports only files whose name ends with .ndjson")
    try:
        path.write_bytes(ndjson(objects))
    except OSError as error:
        raise OpenTrailError(f"{path}: {error.strerror}") from error
    print(f"{path}: {len(objects)} objects, {len(BOARDS)} dashboards")
    return 0


def install(options: argparse.Namespace) -> int:
    """`opentrail dashboards install`."""
    wire = Wire(_settings(options))
    try:
        done = Dashboards(wire, options.tenant, options.workspace).install()
    finally:
        wire.end()
    print(f"{done.objects} objects are there, read back: {len(BOARDS)} dashboards")
    if done.is_default:
        print("their index pattern is now the default one; there was none")
    if done.has_index is False:
        print(
            "there is no index of events yet: until there is one Dashboards says that it could not "
            "locate eventTime; reload the page once events are indexed"
        )
    return 0


def _settings(options: argparse.Namespace) -> OpenSearchSettings:
    def file(name: str) -> Path | None:
        given = getattr(options, name)
        return Path(given) if given else None

    try:
        return OpenSearchSettings(
            url=options.url.rstrip("/"), user=options.user, authority=file("authority"),
            password_file=file("password_file"), header_file=file("header_file"),
            aws_region=options.aws_region,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(f"dashboards install: {error}") from error
