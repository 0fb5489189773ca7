"""The agents of one home, that of `opentrail up` and that of `opentrail import`.

The file is written anew at each start, from the options of that start. What to follow beside
--watch, or anything else about an agent, is for an agent of one's own: `opentrail-agent run`.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml

from opentrail.files import DISK
from opentrail_aggregator.certificates import Credentials

NAME = "local"
IMPORT_NAME = "import"
FILE_NAME = "agent.yaml"
_HEADER = "# Written anew at each start; changes made here are lost.\n"


def write_configuration(
    state: Path, name: str, address: str, credentials: Credentials, watch: Sequence[str] = ()
) -> Path:
    """Write STATE/agent.yaml; its path."""
    path = state / FILE_NAME
    DISK.make_directory(state)
    content = {
        "name": name,
        "state": str(state),
        "capture": {"watch": [{"path": str(Path(each).absolute())} for each in watch]},
        "ship": {
            "addresses": [address],
            "tls": {
                "ca": str(credentials.authority),
                "certificate": str(credentials.certificate),
                "key": str(credentials.key),
            },
        },
    }
    DISK.replace(path, (_HEADER + yaml.safe_dump(content, sort_keys=False)).encode())
    return path
