"""Keeping freed memory: a batch's megabyte is taken and given back many times a second.

The C library hands blocks of that size back to the kernel at once, and takes them anew, page by
page, for the next batch: a tenth of an agent's CPU under load, and up to a quarter. So it is told
to keep a little. Where the C library is another one nothing happens, and nothing depends on it.
"""

import ctypes

KEPT_BYTES = 32 << 20
"""At most so much freed memory is kept; blocks up to this size come from what is kept."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Tell the C library; False if it does not understand."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
