"""Status: what was received, where it is now, and whether the sums agree.

Reads every store and writes none. `sums.py` is the arithmetic, `counting.py` asks each store for
its own figure, `room.py` says when the disk will be full.
"""
