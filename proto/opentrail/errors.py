"""The errors a caller can do something about.

Each message says where, what, with the numbers, and what to do next: lower case, no full stop.
`exit_code` is what a command ends with when the error reaches its top.
"""


class OpenTrailError(Exception):
    """Something OpenTrail refuses or cannot do."""

    exit_code = 1


class UsageError(OpenTrailError):
    """The command line or a query is wrong."""

    exit_code = 2


class ConfigError(OpenTrailError):
    """A configuration cannot be used; the message names file, line, column and key."""

    exit_code = 78


class LimitError(OpenTrailError):
    """Something is larger than a named limit allows."""


class DamagedError(OpenTrailError):
    """Bytes on disk or wire are not what was written; nothing was changed."""


class LockedError(OpenTrailError):
    """Another living process holds what may have only one owner."""


class NewerFormatError(OpenTrailError):
    """A file was written by a later version; it is left as it is."""
