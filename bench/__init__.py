"""The figures of docs/performance.md: `make bench`, or `python -m bench.run NAME...` from the root.

Each figure is a ratio against a peer in the same run, or a bound on this machine.  Nothing here is
part of the product or of its tests.
"""
