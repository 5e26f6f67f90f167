"""Parquet: values in the file's own types, none changed by the folders that it lies in."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.duckdb.reading.forms import Form, form_of
from convergence_assets.warehouse.duckdb.reading.local import named
from convergence_assets.warehouse.duckdb.reading.names import Keys, keys_of
from convergence_assets.warehouse.errors import UnreadableFile
from convergence_assets.warehouse.interface import SourceFile
from convergence_assets.warehouse.schema import Column

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetFile:
    """A file of Parquet; see `Source`."""

    is_empty = False

    def __init__(self, engine: Engine, file: SourceFile, path: Path) -> None:
        self._engine, self._file, self._path = engine, file, path
        self.where = named(file)
        schema = self._schema()
        # DuckDB 1.5 reads a decimal of more than 38 digits as a double.
        self._in_words = bignumeric_encoding.with_words(schema.empty_table()).schema != schema
        numbered = not self._in_words and _ROW not in {name.lower() for name in schema.names}
        self._options = ", file_row_number = true" if numbered else ""
        self.row = f"{_ROW} + 1" if numbered else "row_number() OVER ()"
        forms = {name: form_of(kind) for name, kind in engine.described(f"SELECT * FROM {self.relation({})}")}
        self._forms = {name: form for name, form in forms.items() if not numbered or name != _ROW}
        self.keys: Keys = {name: keys_of(form) for name, form in self._forms.items()}

    def relation(self, columns: Mapping[str, Column]) -> str:
        if self._in_words:
            # Anew for each statement: a reader of batches is read once.
            self._engine.connection.register(_WORDS, _words_of(self._path))
            return _WORDS
        return f"read_parquet({literal(str(self._path))}, hive_partitioning = false{self._options})"

    def taken(self, spelled: str) -> tuple[str, Form]:
        return quoted(spelled), self._forms[spelled]

    def lines(self, rows: Sequence[int]) -> Mapping[int, int]:
        return {row: row for row in rows}

    def explained(self, message: str) -> str | None:
        return None

    def _schema(self) -> "pa.Schema":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_schema(self._path)
        except (pa.ArrowException, OSError):
            raise UnreadableFile(f"{named(self._file)}: is not Parquet, or is cut short") from None


_WORDS = "decimals_in_words"
_ROW = "file_row_number"


def _words_of(path: Path) -> "pa.RecordBatchReader":
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(path)

    def batches() -> Iterator["pa.RecordBatch"]:
        with opened:
            for batch in opened.iter_batches():
                yield from bignumeric_encoding.with_words(pa.Table.from_batches([batch])).to_batches()

    schema = bignumeric_encoding.with_words(opened.schema_arrow.empty_table()).schema
    return pa.RecordBatchReader.from_batches(schema, batches())
