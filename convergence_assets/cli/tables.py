"""A table as it can be read: boxed where the terminal is wide enough, else an entry a row; in a pipe a line a row.

Nothing is ever cut: an id can be copied from the screen, and a pipe gets whole values.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

RUN_COLOURS = {"succeeded": "green", "failed": "red", "running": "blue", "queued": "cyan", "canceled": "yellow"}
"""By a run's status."""
_LEAST_PROSE = 24
"""A column of prose is folded to no less than this width."""
_INDENT = "    "


def prose(name: str) -> Column:
    """A column of sentences, which may be folded; every other one is shown whole."""
    return Column(name, overflow="fold")


def print_table(table: Table, console: Console | None = None) -> None:
    """Print to stdout, or to where `console` does."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        _print_lines(_lines(table), console)
    elif _width(table) <= console.width:
        for column in table.columns:
            column.no_wrap = column.overflow != "fold"
        console.print(table)
    else:
        _print_lines(_entries(table, console.width), console)


def _print_lines(lines: Iterator[Text], console: Console) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _cells(table: Table) -> Iterator[tuple[list[Text], str]]:
    """The cells of each row, and the row's style."""
    columns = [list(column.cells) for column in table.columns]
    for number, row in enumerate(table.rows):
        cells = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in (c[number] for c in columns)]
        yield cells, str(row.style or "")


def _width(table: Table) -> int:
    """What the table takes at least without cutting anything."""
    width = 1
    for column, cells in zip(table.columns, zip(*(cells for cells, _ in _cells(table)), strict=True), strict=False):
        longest = max(_longest(cell.plain) for cell in cells)
        if column.overflow == "fold":
            longest = min(longest, _LEAST_PROSE)
        width += max(longest, len(str(column.header))) + 3
    return width


def _longest(text: str) -> int:
    return max(map(len, text.split("\n")))


def _lines(table: Table) -> Iterator[Text]:
    """A header and a line a row, aligned; where a cell is empty there is a dash."""
    if table.title:
        yield Text(str(table.title))
    rows = [[" ".join(cell.plain.replace("\n", "; ").split()) or "-" for cell in cells] for cells, _ in _cells(table)]
    rows.insert(0, [str(column.header).replace(" ", "_") or "-" for column in table.columns])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if column.justify == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        yield Text("  ".join(cells).rstrip())


def _entries(table: Table, width: int) -> Iterator[Text]:
    """The first two cells of a row as a heading, below it the others with their names; what is empty is left out."""
    if table.title:
        yield Text(str(table.title))
    names = [str(column.header) for column in table.columns]
    for cells, style in _cells(table):
        yield Text("  ", style).join(cell for cell in cells[:2] if cell.plain)
        named = [
            Text.assemble((f"{name}: " if name else "", "dim"), cell)
            for name, cell in zip(names[2:], cells[2:], strict=True)
            if cell.plain
        ]
        yield from _filled(named, width)


def _filled(items: Sequence[Text], width: int) -> Iterator[Text]:
    """The items side by side, as many as fit on a line; none is divided, and one of several lines keeps them."""
    line = Text()
    for item in items:
        if line.plain and len(line.plain) + 2 + _longest(item.plain) > width:
            yield line
            line = Text()
        first, *rest = item.split("\n")
        line = line.append(", ").append_text(first) if line.plain else Text(_INDENT).append_text(first)
        for more in rest:
            yield line
            line = Text(_INDENT * 2).append_text(more)
        if rest:
            yield line
            line = Text()
    if line.plain:
        yield line
