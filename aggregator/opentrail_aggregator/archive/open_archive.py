"""The configured destination and a reader over it, for whoever needs the archive."""

from opentrail.clock import Clock
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.archive.figures import ArchiveReader
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.archive.s3_destination import S3Destination
from opentrail_aggregator.archive.settings import ArchiveSettings
from opentrail_aggregator.home import Home


def open_destination(
    home: Home, settings: ArchiveSettings, clock: Clock, files: Files = DISK
) -> Destination:
    """Where the settings say the archive is."""
    if settings.destination == "s3":
        return S3Destination(settings.bucket, settings.s3, clock, files)
    return LocalDirectory(home, settings.bucket, files)


def open_reader(home: Home, settings: ArchiveSettings, clock: Clock) -> ArchiveReader:
    """Figures and catalog of the configured archive."""
    return ArchiveReader(home, open_destination(home, settings, clock), settings.prefix)
