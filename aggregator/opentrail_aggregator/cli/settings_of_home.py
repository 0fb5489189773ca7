"""The aggregator's settings as `opentrail up` uses them: HOME/aggregator.yaml if there is one."""

from collections.abc import Mapping
from pathlib import Path

from opentrail_aggregator.config import AggregatorSettings, load

FILE_NAME = "aggregator.yaml"


def configuration_of(home: Path) -> Path | None:
    """The home's own configuration file, None if it has none."""
    path = home / FILE_NAME
    return path if path.exists() else None


def settings_of(home: Path, overrides: Mapping[str, str] | None = None) -> AggregatorSettings:
    """What is in force in `home`; raises ConfigError."""
    return load(configuration_of(home), {"home": str(home), **(overrides or {})})
