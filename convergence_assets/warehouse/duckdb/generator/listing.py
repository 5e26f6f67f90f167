"""The functions that have a form on the embedded engine, as the guide lists them.

`python -m convergence_assets.warehouse.duckdb.generator.listing FILE` writes them into a document, between its marks.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from convergence_assets.warehouse.duckdb.generator import aggregates, functions, windows

BEGINS, ENDS = "<!-- functions: written by `make sql-functions` -->", "<!-- end of functions -->"


def table() -> str:
    """A Markdown table of functions, aggregates and window functions by name."""
    rows = {name: f"| {name} | {arguments} |" for name, arguments in _rows()}
    return "\n".join(["| function | arguments |", "|---|---|", *(rows[name] for name in sorted(rows))])


def _rows() -> Iterator[tuple[str, str]]:
    for name, forms in functions.SCALAR.forms.items():
        if not name.startswith("$"):
            taken = dict.fromkeys(f"({', '.join(types).replace(', ...', ' ...')})" for types, _ in forms)
            yield f"`{name.upper()}`", " ".join(taken)
    for name in aggregates.FORMS:
        if not name.startswith("$"):
            yield f"`{name.upper()}`", "aggregate, also with OVER"
    for name in windows.NAMES:
        yield f"`{name.upper()}`", "with OVER"


def written(document: str) -> str:
    """The document with the table between its marks."""
    before, _, rest = document.partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    return f"{before}{BEGINS}\n\n{table()}\n\n{ENDS}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(written(file.read_text()))
