"""Giving memory back to the system after a day was written.

The engine's writing threads each allocate from a heap of their own, which the C library keeps when
they end: an import over ninety days would hold hundreds of megabytes that nobody uses. Where the
library can hand them back (glibc) it is asked to; elsewhere nothing happens.
"""

import ctypes
from collections.abc import Callable


def _find() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


_trim = _find()


def give_back() -> None:
    """Return free memory to the system."""
    if _trim is not None:
        _trim(0)
