"""What the three formats have in common: names, a relation of rows, and a row's place in the file."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from convergence_assets.warehouse.duckdb.reading.forms import Form
from convergence_assets.warehouse.duckdb.reading.names import Keys
from convergence_assets.warehouse.schema import Column


class Source(Protocol):
    """An opened file; what cannot be read as its format raises `UnreadableFile`, here or through `explained`."""

    keys: Keys
    """Its columns as it spells them."""
    where: str
    """What messages about its columns begin with."""
    is_empty: bool
    """Whether it holds no row and therefore need not name its columns."""
    row: str
    """SQL that numbers the relation's rows in the file's order, from 1."""

    def relation(self, columns: Mapping[str, Column]) -> str:
        """SQL of the rows, to be read as these columns by their spelled names."""
        ...

    def taken(self, spelled: str) -> tuple[str, Form]:
        """How a column of the relation is named in SQL, and its form."""
        ...

    def lines(self, rows: Sequence[int]) -> Mapping[int, int]:
        """The physical line (of Parquet: the row) at which each of these rows ends."""
        ...

    def explained(self, message: str) -> str | None:
        """What is wrong with the file's structure, None where that is not it; `message` is the engine's."""
        ...
