"""The book of trails of one home, and what has to be written into the log when it is opened."""

import logging
import threading
from collections.abc import Callable

import msgspec

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.cloudtrail.delivered import default_started_s
from opentrail_aggregator.config import AggregatorSettings
from opentrail_aggregator.ingest.control import NoRoomError
from opentrail_aggregator.trails.book import Append, TrailBook, Trails
from opentrail_aggregator.trails.trail import TrailSpec, default_trail
from opentrail_aggregator.wal.disk_reader import open_reader

_log = logging.getLogger(__name__)


def open_book(settings: AggregatorSettings, clock: Clock, append: Append) -> TrailBook:
    """The trails of a home. What a crash left undone is done in the background: ingest may still be
    starting, and reading trails does not wait for it."""
    home, install = settings.place, settings.install
    started_s = default_started_s(home.trails / "default.json", clock)
    default = default_trail(install.account, install.home_region, settings.archive.prefix)
    book = TrailBook(
        home.trails,
        clock,
        append,
        log_id=lambda: open_reader(home).log_id,
        default=msgspec.structs.replace(default, created_at=started_s, started_at=started_s),
        is_refused=lambda error: isinstance(error, NoRoomError),
    )
    organization = settings.cloudtrail.organization_id
    members = settings.cloudtrail.organization_accounts
    catch_up = _catch_up(book, organization, members)
    threading.Thread(target=catch_up, name="trails", daemon=True).start()
    return book


def _catch_up(book: TrailBook, organization: str, members: tuple[str, ...]) -> Callable[[], None]:
    def work() -> None:
        try:
            book.settle()
            while book.change(lambda trails: _outdated(trails, organization, members)):
                pass
        except OpenTrailError as error:
            _log.warning(
                "a change of a trail is not known to be in the log (%s); it is written before the "
                "next one",
                error,
            )

    return work


def _outdated(
    trails: Trails, organization: str, members: tuple[str, ...]
) -> tuple[str, TrailSpec] | None:
    """A trail of the organization that the settings have changed meanwhile."""
    for each in trails.values():
        if each.organization and (each.organization, each.members) != (organization, members):
            changed = msgspec.structs.replace(
                each, organization=organization, members=members if organization else ()
            )
            return each.arn, changed
    return None
