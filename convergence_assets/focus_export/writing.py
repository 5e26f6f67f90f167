"""A table's rows into a CSV and a Parquet file, one batch after another, each file in place once it is whole."""

import hashlib
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import pyarrow as pa

# https://focus.finops.org/focus-specification/v1-2/#datetimeformat
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class FractionOfASecond(ValueError):
    """A time that has no form in FOCUS, which knows whole seconds."""


class Files:
    """`NAME.csv` and `NAME.parquet` in a folder. Nothing is there under these names until `finish`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._csv, self._parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
        self._writers: list[Any] = []

    def write(self, rows: "pa.Table") -> None:
        """Add rows, with the columns in their order and under the files' names."""
        if not self._writers:
            self._open(rows.schema)
        self._writers[0].write_table(_as_text(rows))
        self._writers[1].write_table(rows)

    def finish(self) -> tuple[Path, Path]:
        """Put both files in place."""
        self._close()
        for path in (self._csv, self._parquet):
            _unfinished(path).replace(path)
        return self._csv, self._parquet

    def _open(self, schema: "pa.Schema") -> None:
        import pyarrow as pa
        from pyarrow import csv, parquet

        texts = pa.schema([pa.field(name, pa.string()) for name in schema.names])
        # An empty field is null; a text that is empty has quotes.
        options = csv.WriteOptions(quoting_style="needed")
        self._writers = [
            csv.CSVWriter(_unfinished(self._csv), texts, write_options=options),
            parquet.ParquetWriter(_unfinished(self._parquet), schema),
        ]

    def _close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        for path in (self._csv, self._parquet):
            _unfinished(path).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")


def _as_text(rows: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return pa.table(
        [_text(rows.column(name), name) for name in rows.column_names],
        schema=pa.schema([pa.field(name, pa.string()) for name in rows.column_names]),
    )


def _text(column: "pa.ChunkedArray", name: str) -> "pa.ChunkedArray":
    """Times as FOCUS writes them, decimals as digits without an exponent and without zeros at their end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        seconds = column.cast(pa.timestamp("s", column.type.tz), safe=False)
        if not pc.all(pc.equal(seconds.cast(column.type), column)).as_py() and len(column) > column.null_count:
            raise FractionOfASecond(f"{name} has a fraction of a second, which FOCUS's times cannot say")
        return pc.strftime(seconds, _TIME)
    if pa.types.is_decimal(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        texts = pa.array([digits(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return pa.chunked_array([texts.take(encoded.indices)])
    return column.cast(pa.string())


def digits(value: Decimal) -> str:
    """A number as plain digits."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
