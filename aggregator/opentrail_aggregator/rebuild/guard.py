"""Nobody begins a second history beside one that lost its disk, or uses half a rebuild.

A home without a log over an archive with manifests is most likely a home that lost its disk. An
empty log begun there would be bound to by agents that hold nothing, and refused by the others; so
the start asks the archive first. An archive that does not answer proves nothing: then the start
goes on and says so.
"""

import logging

from opentrail.errors import ConfigError, OpenTrailError
from opentrail.files import DISK, Files
from opentrail_aggregator.archive.catalog import Catalog
from opentrail_aggregator.archive.destination import Destination
from opentrail_aggregator.home import Home
from opentrail_aggregator.rebuild.remains import MARK, holds_a_log

_log = logging.getLogger(__name__)


def refuse_second_history(
    home: Home, destination: Destination, prefix: str = "", files: Files = DISK
) -> None:
    """Raise ConfigError if a start would begin a log that should follow another, or half of one."""
    if files.exists(home.path / MARK):
        raise ConfigError(
            f"{home.path / MARK}: a rebuild from the archive was interrupted; give "
            "`opentrail-aggregator rebuild` again with the same configuration, then start"
        )
    if holds_a_log(home, files):
        return
    try:
        first = next(Catalog(destination, prefix).manifest_keys(), None)
    except (OpenTrailError, OSError) as error:
        _log.warning(
            "%s: whether the archive holds an earlier history cannot be told now (%s); a new log "
            "is begun", home.path, error,
        )  # fmt: skip
        return
    if first is not None:
        raise ConfigError(
            f"{home.log}: there is no log here, and the archive {destination.bucket} holds events "
            f"({first}): was this disk lost? `opentrail-aggregator rebuild` with the same "
            "configuration brings their history back and lets agents go on; to begin another "
            "history give it a bucket or archive.prefix of its own, or set archive.shared: true"
        )
