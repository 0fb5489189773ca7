"""How far an import is, for a person: a bar on a terminal, a line now and then anywhere else."""

from typing import TextIO

from opentrail.clock import Clock

from ..importing.progress import ImportProgress

_BAR_CHARACTERS = 24
_LINE_SECONDS = 10.0


class ProgressBar:
    """Call it with the progress as often as there is news."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._started_at = clock.monotonic()
        self._next_line_at = self._started_at + _LINE_SECONDS
        self._width = 0

    def __call__(self, progress: ImportProgress) -> None:
        now = self._clock.monotonic()
        if self._is_terminal:
            text = f"{bar_of(progress)} {text_of(progress, now - self._started_at)}"
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
            self._width = len(text)
        elif now >= self._next_line_at:
            self._next_line_at = now + _LINE_SECONDS
            self._stream.write(text_of(progress, now - self._started_at) + "\n")
            self._stream.flush()

    def close(self, progress: ImportProgress) -> None:
        """The last word."""
        text = text_of(progress, self._clock.monotonic() - self._started_at)
        if self._is_terminal:
            text = "\r" + f"{bar_of(progress)} {text}".ljust(self._width)
        self._stream.write(text + "\n")
        self._stream.flush()


def share_of(progress: ImportProgress) -> float:
    """How much of the bytes is done, from 0 to 1."""
    if progress.bytes_total == 0:
        return 1.0 if progress.files_done == progress.files_total else 0.0
    return min(1.0, progress.bytes_done / progress.bytes_total)


def bar_of(progress: ImportProgress) -> str:
    filled = int(share_of(progress) * _BAR_CHARACTERS)
    return "[" + "#" * filled + "." * (_BAR_CHARACTERS - filled) + "]"


def text_of(progress: ImportProgress, seconds: float) -> str:
    """Share, files, events, refusals and what is left of the time."""
    share = share_of(progress)
    text = (
        f"{share:4.0%} {progress.files_done:,}/{progress.files_total:,} files, "
        f"{progress.events:,} events"
    )
    if progress.refused:
        text += f", {progress.refused:,} refused"
    if 0.01 < share < 1 and seconds > 1:
        text += f", {seconds / share - seconds:.0f} s left"
    return text
