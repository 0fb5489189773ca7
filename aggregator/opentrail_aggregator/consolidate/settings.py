"""What can be set about consolidate."""

from dataclasses import dataclass
from typing import Annotated

from opentrail.limits import FUTURE_MAX_SECONDS, MIB
from opentrail.settings import Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidateSettings:
    """Section `consolidate`."""

    future: Annotated[
        Seconds,
        "Events dated further ahead of their arrival go to quarantine (`future`).",
    ] = Seconds(FUTURE_MAX_SECONDS)
    step_raw_bytes: Annotated[
        Bytes, "How much of the log, uncompressed, is judged before its verdicts are made durable."
    ] = Bytes(2 * MIB)
    verdict_segment_bytes: Annotated[
        Bytes, "Size of one file of verdicts; whole files go once the log behind them is released."
    ] = Bytes(16 * MIB)
    alarm: Annotated[
        Seconds, "How long health speaks of the last conflict, foreign or future event."
    ] = Seconds(900.0)
