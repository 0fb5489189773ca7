"""What the agent and the aggregator agree on, and nothing else.

Bytes on the wire (`v1`, `batch`), bytes on disk (`segment`), what an event is (`record`,
`identity`), how large anything may be (`limits`), and the seams that tests replace: `clock`,
`files`, `crash`. Policy (when to fsync, to evict, to retain) stays in the role that decides it.
"""

__version__ = "0.1.0"
