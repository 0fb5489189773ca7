"""From the log to documents: nothing is passed over between two looks at it."""

from pathlib import Path

from opentrail.segment.frame import Damage
from opentrail_aggregator.consolidate.verdict import VerdictReader
from opentrail_aggregator.index.archived import ArchivedEvent
from opentrail_aggregator.opensearch.place import Place
from opentrail_aggregator.opensearch.reading import Reading
from opentrail_aggregator.wal.disk_reader import open_reader
from tests.aggregator.consolidate.world import World, line
from tests.aggregator.index.harness import Archive


def test_what_the_log_lets_go_after_the_look_at_its_beginning_is_left_to_the_archive(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    gone = world.send([line("gone")])
    world.run()
    log = open_reader(world.home)
    damage: list[Damage] = []
    reading = Reading(log, VerdictReader(world.home), Place(), set(), damage.append)
    world.release_through(gone)
    assert reading.read("") == 0
    assert (reading.place, reading.documents, damage) == (Place(), [], [])
    # The next look at the log's beginning finds the hole, and the archive fills it.
    first = log.first_position()
    fillers = first - 1 - gone
    held = ArchivedEvent(line("gone"), "111122223333", "eu-west-1", "", gone << 16)
    list(reading.catch_up(first, Archive([held]), ""))
    (document,) = reading.take()[0]
    assert b'"gone"' in document[1].body
    assert (reading.place.position, reading.place.missing) == (first - 1, fillers)
    assert reading.read("") > 0
