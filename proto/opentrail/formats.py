"""What a later release wrote is refused, told where and what to do, and left as it is.

Every JSON file names its format as `format` or `version`; one that names none is of format 1. A
reader asks here before it believes, mends or replaces anything: what cannot be understood is
damaged only if it is not of a later format. What other files do stands in docs/formats.md.
"""

from pathlib import Path

import msgspec

from opentrail.errors import NewerFormatError


class _Named(msgspec.Struct):
    format: int = 1
    version: int = 1


_decoder = msgspec.json.Decoder(_Named)


def refuse_newer(path: Path | str, content: bytes, known: int) -> None:
    """Raise NewerFormatError if `content`, a JSON object, is of a later format than `known`."""
    try:
        named = _decoder.decode(content)
    except msgspec.MsgspecError:
        return  # Damaged, or something else: its reader says so.
    found = max(named.format, named.version)
    if found > known:
        raise newer(path, found, known)


def newer(path: Path | str, found: object, known: object) -> NewerFormatError:
    """What a reader raises."""
    return NewerFormatError(
        f"{path}: format {found}, this release knows up to {known}: a later release of OpenTrail "
        "wrote it; use that release, or bring back what was backed up before it ran; the file is "
        "left as it is"
    )


def is_later(magic: bytes, known: bytes) -> bool:
    """Whether `magic` is `known`, ending with 1, but for a later last digit.

    A digit that one flipped bit makes of 1 is damage; releases never write those.
    """
    return magic[:-1] == known[:-1] and magic[-1:] in (b"2", b"4", b"6", b"7", b"8")
