"""The quarantine: what could not be an event of this history, whole, with the reason.

`item` is what is kept of one, `store` is written by consolidate alone, `reader` lists and counts
from any process, `replay` makes a batch of items so that they are judged again.
"""
