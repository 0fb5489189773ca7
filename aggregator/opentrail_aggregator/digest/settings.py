"""How often digests are made."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.settings import Seconds

_HOUR = Seconds(3600)
_DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestSettings:
    """Section `digest`."""

    interval: Annotated[
        Seconds, "One signed digest per trail, account and region each time; a whole part of a day."
    ] = _HOUR

    def __post_init__(self) -> None:
        if self.interval < 1 or self.interval % 1 or _DAY_SECONDS % int(self.interval):
            raise ValueError(
                f"interval: {self.interval:g} s does not divide a day into whole seconds; "
                "give 1h, 15m, 60s or the like"
            )
