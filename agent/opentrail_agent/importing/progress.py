"""What an import says about itself: how far it is, and what came of it."""

from dataclasses import dataclass


@dataclass(slots=True)
class ImportProgress:
    """How far an import is; changes while it runs."""

    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    """On disk; each counts once although it is read twice."""
    bytes_done: float = 0
    events: int = 0
    refused: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import."""

    files: int
    """Imported to their end by this run."""
    already: int
    """Files whose content an earlier, interrupted run (or another file) had imported."""
    events: int
    refused: int
    failed: list[tuple[str, str]]
    """Path and reason of each file that could not be read."""
    changed: list[str]
    """Files that changed while they were imported: import them again."""
    left_out: int
    """Files that hold no records by their place (digests, manifests)."""
    skipped: list[tuple[str, str]]
    """Path and reason of each file in a folder that does not look like JSON."""
    is_complete: bool
    """Everything was read; False after an interruption: run it again to go on."""
