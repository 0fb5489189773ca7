"""A progress bar: drawn over itself on a terminal, a line now and then elsewhere."""

import os
import shutil
from typing import TextIO

_WIDTH = 24
_STEP_PERCENT = 10


class Bar:
    """How far an import is."""

    def __init__(self, out: TextIO) -> None:
        self.is_sending = False
        """Everything was read; what is shown now is what waits for its acknowledgement."""
        self._out = out
        self._is_terminal = out.isatty()
        self._shown = ""
        self._percent = -_STEP_PERCENT
        self._waiting = -1

    def reading(self, done: float, total: int, events: int, refused: int, path: str) -> None:
        """`done` of `total` bytes are read."""
        share = min(1.0, done / total) if total else 1.0
        percent = int(100 * share)
        text = f"{percent:3d} %  {events:,} events"
        if refused:
            text += f", {refused:,} refused"
        if self._is_terminal:
            full = int(_WIDTH * share)
            self._draw(f"[{'#' * full}{'.' * (_WIDTH - full)}] {text}  {os.path.basename(path)}")
        elif percent >= self._percent + _STEP_PERCENT:
            self._percent = percent
            self._line(text)
        self.is_sending = share >= 1.0

    def sending(self, batches: int) -> None:
        """`batches` are not acknowledged yet; shown once reading is over."""
        if not self.is_sending or batches == self._waiting:
            return
        self._waiting = batches
        text = f"waiting for the aggregator: {batches} batches" if batches else "all is stored"
        if self._is_terminal:
            self._draw(text)
        elif batches == 0:
            self._line(text)

    def close(self) -> None:
        if self._is_terminal and self._shown:
            self._out.write("\n")
            self._out.flush()

    def _draw(self, text: str) -> None:
        text = text[: shutil.get_terminal_size().columns - 1]
        if text != self._shown:
            self._out.write(f"\r{text:<{len(self._shown)}}")
            self._out.flush()
            self._shown = text

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()
