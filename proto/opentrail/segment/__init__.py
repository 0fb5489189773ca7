"""Segment files: how the spool, the log, the verdicts and the quarantine lie on disk.

A *store* is a directory of segment files. A *segment* is named by the position of its first
*frame*, begins with a HEAD frame and, once sealed, ends with a FOOTER frame. Positions grow by one
from frame to frame across segments. `frame` is bytes only, `store` writes, `reader` reads (also
from another process, beside a living writer), `cursor` remembers how far a reader got.
docs/formats.md has every byte.
"""
