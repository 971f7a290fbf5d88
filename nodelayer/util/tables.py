"""Tables as plain text, for a terminal of any width, a pipe or grep."""

from collections.abc import Iterable, Sequence

from nodelayer.errors import printable


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Format rows as lines of columns two spaces apart; nothing is truncated. Cells are escaped."""
    every = [[printable(str(cell)) for cell in row] for row in rows]
    if not every:
        return ""
    widths = [max(len(row[index]) for row in every) for index in range(len(every[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]
    return "".join(f"{line}\n" for line in lines)
