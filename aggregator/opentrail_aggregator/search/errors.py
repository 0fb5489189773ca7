"""What can be wrong with a question; the same words whichever engine would have answered it."""

from opentrail.errors import OpenTrailError, UsageError


class QueryError(UsageError):
    """The query text cannot be used; `start` and `end` are its place in characters from 0."""

    def __init__(self, message: str, text: str, start: int, end: int, hint: str = "") -> None:
        self.message = message
        self.text = text
        self.start = start
        self.end = max(end, start)
        self.hint = hint
        place = f"query, character {start + 1}: {message}"
        super().__init__(f"{place}; {hint}" if hint else place)

    def pointer(self) -> str:
        """The line of the query with a mark under the place, for a terminal."""
        before = self.text[: self.start]
        line_start = before.rfind("\n") + 1
        line = self.text[line_start:].split("\n", 1)[0]
        column = self.start - line_start
        width = max(1, min(self.end - self.start, len(line) - column))
        return f"{line}\n{' ' * column}{'^' * width}"


class CursorError(UsageError):
    """A paging cursor that was not made by this search, or is not one at all."""


class SearchTimeoutError(OpenTrailError):
    """The deadline passed, or the caller went away, before the answer was complete."""


class SearchUnavailableError(OpenTrailError):
    """The engine cannot answer now: no index yet, or a part of it cannot be read."""
