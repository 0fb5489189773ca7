"""The first access key of a home: made at the first start, for the person on this machine.

It is an admin for all accounts and regions, and its secret lies in HOME/keys/local.json (0600),
where the commands of this machine find it. Once made it is never made again while that file is
there: a key that was disabled or deleted stays so.
"""

from pathlib import Path

from opentrail.clock import Clock
from opentrail_aggregator.access.key_file import LOCAL_NAME, KeyPair, write_key_file
from opentrail_aggregator.access.keys import KeyStore
from opentrail_aggregator.access.scope import Scope


def ensure_first_key(directory: Path, clock: Clock) -> None:
    """Make HOME/keys/local.json and its key unless the file is there."""
    path = directory / LOCAL_NAME
    if path.exists():
        return
    key, secret = KeyStore(directory, clock).create("admin", Scope(), note="local")
    write_key_file(path, KeyPair(key.id, secret))
