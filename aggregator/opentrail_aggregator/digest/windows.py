"""When a window ends: plain values and decisions, no I/O.

Windows of a chain touch each other. They end on the grid of the interval (the full hour), or
earlier where somebody asked for a digest now or the trail stopped.

    12:00 ........ 13:00 ... 13:20 | 13:20 ........ 14:00 ........
                          asked now   goes on to the grid
"""

from collections.abc import Iterable

from opentrail_aggregator.digest.requests import Request
from opentrail_aggregator.digest.state import ChainState


def grid_floor(at_s: int, interval_s: int) -> int:
    """The beginning of the window of the grid that holds `at_s`."""
    return at_s // interval_s * interval_s


def window_end(chain: ChainState, interval_s: int, requests: Iterable[Request]) -> tuple[int, bool]:
    """When the chain's window ends, as far as is known, and whether the chain ends there."""
    end, final = grid_floor(chain.window_start_s, interval_s) + interval_s, False
    for request in requests:
        if not chain.window_start_s < request.at_s <= end:
            continue
        if request.kind == "end":
            if request.trail == chain.trail and (request.at_s < end or not final):
                end, final = request.at_s, True
        elif request.at_s < end:
            end, final = request.at_s, False
    return end, final


def is_over_at(chain: ChainState, request: Request) -> bool:
    """Whether nothing is left to do for `request` in this chain."""
    if request.kind == "end" and request.trail != chain.trail:
        return True
    return chain.ended or chain.window_start_s >= request.at_s
