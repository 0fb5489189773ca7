"""Every size that a stranger, a bug or a disk could otherwise push without end.

Bytes unless the name says otherwise. A limit that is also a setting is the default of that setting.
"""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# One record.
EVENT_MAX_BYTES = 1 * MIB
"""A larger record is refused (`too_large`); CloudTrail's own records end at 256 KB."""
JSON_MAX_DEPTH = 800
"""Nesting of a record that is read at all; deeper is refused (`too_deep`). The decoder ends at 1000
less the depth of its caller's stack: a limit below that is the same everywhere."""
EVENT_ID_MAX_BYTES = 256
REGION_MAX_CHARACTERS = 40
REFUSED_HEAD_BYTES = 64 * KIB
"""How much of what cannot be a record travels with its refusal."""

# One batch: the unit of spool, wire and log.
BATCH_RAW_BYTES = 1_000_000
"""What an agent aims at, before compression."""
BATCH_MAX_RAW_BYTES = 4 * MIB
"""What a reader decompresses at most, events and refusals each."""
BATCH_MAX_EVENTS = 65_535
"""An event's position is (frame << 16 | ordinal), so an ordinal has 16 bits."""
BATCH_MAX_BYTES = 6 * MIB
"""A whole batch payload, compressed."""
BATCH_MAX_SOURCES_BYTES = 1 * MIB
BATCH_WINDOW = 8
"""Batches an agent may have unacknowledged on one stream."""

# Segments.
FRAME_MAX_BYTES = 8 * MIB
"""Bounds what a damaged length can make a reader allocate."""
SEGMENT_BYTES = 64 * MIB
CURSOR_MAX_BYTES = 4000

# Messages that are not batches.
CONTROL_MAX_BYTES = 1 * MIB
HEARTBEAT_MAX_SOURCES = 2_000
AGENT_NAME_MAX_CHARACTERS = 128

# Time.
FUTURE_MAX_SECONDS = 24 * 3600
"""An event dated further ahead of its arrival goes to quarantine (`future`)."""
RETENTION_DAYS = 90
