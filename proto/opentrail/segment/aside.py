"""Names for what is set aside: `NAME.broken`, and `NAME-2.broken` when that one is taken.

What was set aside is evidence and perhaps the only copy: it is never overwritten.
"""

import itertools
from pathlib import Path

from opentrail.files import Files

ENDING = ".broken"


def aside_of(files: Files, path: Path, content: bytes | None = None) -> Path:
    """A name beside `path` that is free.

    A file that has just the `content` that is to be kept is what a crash left of the same step, and
    will do again: otherwise each start that is cut short would leave one more.
    """
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}{f'-{number}' if number > 1 else ''}{ENDING}")
        if not files.exists(aside):
            break
        if content is not None and files.read(aside, 0, files.size(aside)) == content:
            break
    return aside
