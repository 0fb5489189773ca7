"""The aggregator's settings as `opentrail up` uses them: HOME/aggregator.yaml if there is one.

HOME/run/up.json holds what the last `up` was told beside it, so that commands which look at the
archive or the index themselves look where that `up` put them.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from opentrail.files import DISK
from opentrail_aggregator.config import AggregatorSettings, load

FILE_NAME = "aggregator.yaml"
_KEPT = ("archive.", "opensearch.", "index.")


def configuration_of(home: Path) -> Path | None:
    """The home's own configuration file, None if it has none."""
    path = home / FILE_NAME
    return path if path.exists() else None


def remember(home: Path, overrides: Mapping[str, str]) -> None:
    """Keep what this `up` was told of the places of its stores."""
    kept = {name: value for name, value in overrides.items() if name.startswith(_KEPT)}
    DISK.make_directory(home / "run")
    DISK.replace(home / "run" / "up.json", json.dumps(kept).encode())


def settings_of(home: Path, overrides: Mapping[str, str] | None = None) -> AggregatorSettings:
    """What is in force in `home`, without `overrides` as the last `up` had it; ConfigError."""
    if overrides is None:
        overrides = _remembered(home)
    return load(configuration_of(home), {"home": str(home), **overrides})


def _remembered(home: Path) -> dict[str, str]:
    try:
        kept = json.loads((home / "run" / "up.json").read_bytes())
    except (OSError, ValueError):
        return {}  # Nothing was ever told, or by a version that kept nothing.
    return {str(name): str(value) for name, value in kept.items()}
