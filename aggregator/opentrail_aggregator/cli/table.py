"""Tables that fit the terminal: wide columns give way first, then whole columns, last the reader.

Whatever came in a record may be hostile; nothing that a terminal would obey leaves this module.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GAP = 2
WIDTH_WITHOUT_TERMINAL = 160
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `least` is the width below which it is worthless."""

    title: str
    least: int = 8
    right: bool = False
    importance: int = 1
    """When there is no room, columns go in the order of their importance, lowest first."""


def terminal_width() -> int:
    """Columns of the terminal; a fixed width when there is none."""
    return shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns


def colours_wanted() -> bool:
    """Whether output goes to somebody who sees colours and did not refuse them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def clean(value: object) -> str:
    """`value` as one line without anything a terminal would act on."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def width_of(text: str) -> int:
    """Cells `text` takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells."""
    if width_of(text) > width:
        kept = ""
        for character in text:
            if width_of(kept + character) > width - 1:
                break
            kept += character
        text = kept + _ELLIPSIS
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> list[tuple[int, int]]:
    """(place in `columns`, width) of each column that is shown, so that a line fits `width`."""
    natural = [
        max([width_of(column.title), *(width_of(row[place]) for row in rows)])
        for place, column in enumerate(columns)
    ]
    least = [min(natural[place], column.least) for place, column in enumerate(columns)]
    shown = list(range(len(columns)))

    def needed(widths: Sequence[int]) -> int:
        return sum(widths[place] for place in shown) + GAP * (len(shown) - 1)

    while len(shown) > 1 and needed(least) > width:
        shown.remove(min(shown, key=lambda place: (columns[place].importance, -place)))
    widths = list(natural)
    while needed(widths) > width:
        # The column with the most to give gives one cell; ends because the least widths fit.
        widest = max(shown, key=lambda place: widths[place] - least[place])
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    return [(place, widths[place]) for place in shown]


class Table:
    """Prints rows under a header; the first rows decide the widths, later ones follow."""

    def __init__(self, columns: Sequence[Column], width: int | None = None) -> None:
        self.columns = columns
        self._width = width or terminal_width()
        self._layout: list[tuple[int, int]] | None = None

    def lines(self, rows: Iterable[Sequence[object]]) -> list[str]:
        """The lines that show `rows`, the header before the first of them."""
        texts = [[clean(value) for value in row] for row in rows]
        lines: list[str] = []
        if self._layout is None:
            self._layout = lay_out(self.columns, texts, self._width)
            header = self._line([column.title for column in self.columns])
            lines.append(f"\033[2m{header}\033[0m" if colours_wanted() else header)
        lines += [self._line(row) for row in texts]
        return lines

    def _line(self, texts: Sequence[str]) -> str:
        assert self._layout is not None
        cells = [
            fit(texts[place], width, self.columns[place].right) for place, width in self._layout
        ]
        return (" " * GAP).join(cells).rstrip()
