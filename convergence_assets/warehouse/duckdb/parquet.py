"""Files of a declared schema to one Parquet file, read as the embedded warehouse reads them."""

from collections.abc import Sequence
from pathlib import Path

from convergence_assets.warehouse.duckdb import bignumeric_encoding, tables
from convergence_assets.warehouse.duckdb.attached_files import attach_to_write
from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal
from convergence_assets.warehouse.duckdb.reading.load import load_file
from convergence_assets.warehouse.duckdb.reading.notes import Notes
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import FileRules, SourceFile
from convergence_assets.warehouse.schema import TableSchema

_ROWS_AT_ONCE = 100_000


def files_to_parquet(
    into: Path, schema: TableSchema, files: Sequence[SourceFile], rules: FileRules, *, exact: bool
) -> tuple[str, ...]:
    """Write every row of `files` into one file of the declared columns; what reading did besides.

    Raises `UnreadableFile`.
    """
    notes = Notes()
    engine = Engine(into.parent / "spill")
    try:
        # A file of its own: rows in memory would count against the engine's limit.
        engine.run(attach_to_write(into.with_suffix(".duckdb"), "loaded"))
        tables.create(engine, "loaded.rows", schema)
        for file in files:
            load_file(engine, "loaded.rows", schema, file, rules, notes, exact=exact)
        if any(bignumeric_encoding.TYPE in duckdb_type(column) for column in schema.columns):
            _write_with_decimals(engine, into)
        else:
            engine.run(f"COPY loaded.rows TO {literal(str(into))} (FORMAT parquet)")
    finally:
        engine.close()
    return notes.sentences()


def _write_with_decimals(engine: Engine, into: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = engine.connection.execute("SELECT * FROM loaded.rows").to_arrow_reader(_ROWS_AT_ONCE)
    with pq.ParquetWriter(into, bignumeric_encoding.with_decimals(reader.schema.empty_table()).schema) as writer:
        for batch in reader:
            try:
                writer.write_table(bignumeric_encoding.with_decimals(pa.Table.from_batches([batch])))
            except OverflowError as error:
                raise SchemaMismatch(f"{into.name}: {error}") from None
