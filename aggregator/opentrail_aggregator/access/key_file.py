"""The key file of a person or program: an access key id and its secret, for its owner's eyes only.

    {"access_key_id": "OTAK…", "secret_access_key": "…"}      mode 0600

Commands on the aggregator's machine use HOME/keys/local.json; elsewhere OPENTRAIL_KEY_FILE names
one. Only the standard library: every command reads it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from opentrail.errors import OpenTrailError
from opentrail.files import DISK, Files

LOCAL_NAME = "local.json"
VARIABLE = "OPENTRAIL_KEY_FILE"


class KeyFileError(OpenTrailError):
    """A key file is missing, damaged, or open to others."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What requests are signed with; its secret is not shown by `repr`."""

    id: str
    secret: str = field(repr=False)


def key_file_content(pair: KeyPair) -> bytes:
    """A key file, as it is written."""
    content = {"access_key_id": pair.id, "secret_access_key": pair.secret}
    return json.dumps(content, indent=1).encode() + b"\n"


def write_key_file(path: Path, pair: KeyPair, files: Files = DISK) -> None:
    """Write `path` anew, readable by its owner only from its first byte on."""
    files.replace(path, key_file_content(pair))


def read_key_file(path: Path) -> KeyPair:
    """The key in `path`; raises KeyFileError, whose text never holds what is in the file."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path}: others may read it; `chmod 600 {path}`")
        content = json.loads(path.read_bytes())
        if content.get("format", 1) > 1:
            raise KeyFileError(
                f"{path}: format {content['format']}, this release knows 1: a later release of "
                "OpenTrail wrote it; use that release; the file is left as it is"
            )
        return KeyPair(str(content["access_key_id"]), str(content["secret_access_key"]))
    except FileNotFoundError:
        raise KeyFileError(
            f"{path}: there is no access key; `opentrail up` makes the first one, "
            f"`opentrail keys create` more, and {VARIABLE} names a key file elsewhere"
        ) from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyFileError(
            f"{path}: no key file: it holds access_key_id and secret_access_key, as JSON"
        ) from None
