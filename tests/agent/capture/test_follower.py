"""What a follower makes of a file that changes while it reads."""

import os
from pathlib import Path

from opentrail_agent.capture.batching import Draft
from opentrail_agent.capture.follower import Follower, Reading
from opentrail_agent.capture.positions import Entry
from opentrail_agent.capture.settings import WatchSettings

from .events import lines


def test_a_file_that_grows_between_the_look_and_the_read_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(lines(1))
    file = os.open(path, os.O_RDONLY)
    found = os.fstat(file)
    entry = Entry(
        generation="g", path=str(path), origin=str(path), device=found.st_dev, inode=found.st_ino
    )
    follower = Follower(entry, WatchSettings(path=str(path)), file, 0.0)
    follower.look(found, 0.0)
    with path.open("ab") as more:
        more.write(lines(2))
    draft = Draft()
    assert follower.take(draft) is Reading.QUIET
    assert follower.place.offset == len(lines(1) + lines(2))
    follower.close()
