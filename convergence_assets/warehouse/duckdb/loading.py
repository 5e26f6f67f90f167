"""Files of a declared schema into a table: the one INSERT that loads CSV, JSON Lines or Parquet."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb import limbs
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.duckdb.rows import normal, partition_literal, spelled
from convergence_assets.warehouse.duckdb.transpile import duckdb_type
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import FileFormat, SourceFile
from convergence_assets.warehouse.schema import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

_JSON_LINE_LIMIT_BYTES = 100 * 1024 * 1024
_BIGNUMERIC_FROM = {"csv": "bignumeric_from_text", "jsonl": "bignumeric_from_json"}


def load_statement(
    engine: Engine, table: str, schema: TableSchema, file: SourceFile, file_format: FileFormat, *, exact_columns: bool
) -> str:
    """The INSERT for one file into `table` (quoted); `exact_columns` refuses a file with columns not declared.

    A column that the file lacks is NULL, which a REQUIRED column refuses. The partition column is filled from the
    file's partition or from `ingestion_time_from` where the schema says so. Raises `SchemaMismatch`.
    """
    filled = _filled_partition(schema, file)
    in_file = [c for c in schema.columns if c.name not in filled]
    present = _columns_of(engine, file, file_format)
    if present is not None:
        if exact_columns and (
            extra := [name for name in present if name.lower() not in {c.name.lower() for c in in_file}]
        ):
            raise SchemaMismatch(
                f"file {file.path}: column {', '.join(extra)} is not declared; "
                f"expected {', '.join(c.name for c in in_file)}"
            )
        carried = {name.lower() for name in present}
        if missing := [c.name for c in in_file if c.mode == "REQUIRED" and c.name.lower() not in carried]:
            raise SchemaMismatch(f"file {file.path}: REQUIRED column {', '.join(missing)} is missing")
        in_file = [c for c in in_file if c.name.lower() in carried]
    targets = [c.name for c in in_file] + list(filled)
    if file_format == "parquet":
        source, values = _from_parquet(engine, file, in_file)
    else:
        source, values = _reader(file, file_format, in_file, present or []), [_value(c, file_format) for c in in_file]
    values += list(filled.values())
    names = ", ".join(quoted(t) for t in targets)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {source} AS loaded"


def _filled_partition(schema: TableSchema, file: SourceFile) -> dict[str, str]:
    column = schema.partition_column
    if column and schema.ingestion_time_from:
        return {column: f"date_trunc('day', {quoted(schema.ingestion_time_from)})"}
    if column and file.partition:
        return {column: partition_literal(file.partition)}
    return {}


def _columns_of(engine: Engine, file: SourceFile, file_format: FileFormat) -> list[str] | None:
    """The names a file carries; None where only its rows tell (JSON Lines reads an absent key as NULL)."""
    path = literal(file.path)
    if file_format == "csv":
        header = engine.run(f"SELECT * FROM read_csv({path}, header = false, all_varchar = true) LIMIT 1")
        return [str(name).strip() for name in header[0]] if header else []
    if file_format == "parquet":
        return [row[0] for row in engine.run(f"DESCRIBE SELECT * FROM read_parquet({path})")]
    return None


def _value(column: Column, file_format: FileFormat) -> str:
    return _numbers(column, quoted(column.name), _BIGNUMERIC_FROM[file_format])


def _read_type(column: Column, file_format: FileFormat) -> str:
    """The type a file is read as: a BIGNUMERIC as its text."""
    return duckdb_type(column).replace(limbs.TYPE, "VARCHAR" if file_format == "csv" else "JSON")


def _numbers(column: Column, value: str, convert: str, depth: int = 0) -> str:
    """The value with `convert` around each BIGNUMERIC in it."""
    if limbs.TYPE not in duckdb_type(column):
        return value
    if column.mode == "REPEATED":
        element = f"element{depth}"
        made = _numbers(replace(column, mode="NULLABLE"), element, convert, depth + 1)
        return f"list_transform({value}, lambda {element}: {made})"
    if column.type == "RECORD":
        members = (
            f"{quoted(f.name)} := {_numbers(f, f'{value}.{quoted(f.name)}', convert, depth)}" for f in column.fields
        )
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(members)}) END"
    return f"{convert}({value})"


def _from_parquet(engine: Engine, file: SourceFile, columns: list[Column]) -> tuple[str, list[str]]:
    """Where a Parquet file is read from, and the values of the columns in it."""
    source = f"read_parquet({literal(file.path)})"
    if any(limbs.TYPE in duckdb_type(c) for c in columns) and _has_large_decimals(file):
        # DuckDB 1.5 reads a decimal of more than 38 digits as a double.
        source = "decimals_in_words"
        engine.connection.register(source, _in_words(file))
    given = {row[0].lower(): row[1] for row in engine.run(f"DESCRIBE SELECT * FROM {source}")}
    return source, [_parquet_value(c, given[c.name.lower()], file) for c in columns]


def _has_large_decimals(file: SourceFile) -> bool:
    import pyarrow.parquet as pq

    schema = pq.read_schema(file.path)
    return bool(limbs.with_words(schema.empty_table()).schema != schema)


def _in_words(file: SourceFile) -> "pa.RecordBatchReader":
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file.path)

    def batches() -> Iterator["pa.RecordBatch"]:
        with opened:
            for batch in opened.iter_batches():
                yield from limbs.with_words(pa.Table.from_batches([batch])).to_batches()

    schema = limbs.with_words(opened.schema_arrow.empty_table()).schema
    return pa.RecordBatchReader.from_batches(schema, batches())


def _parquet_value(column: Column, given: str, file: SourceFile) -> str:
    if limbs.TYPE not in duckdb_type(column) or normal(given) == normal(duckdb_type(column)):
        return f"CAST({quoted(column.name)} AS {duckdb_type(column)})"
    if duckdb_type(column) == limbs.TYPE and re.fullmatch(r"U?(TINY|SMALL|BIG)?INT(EGER)?|DECIMAL.*", given):
        return f"bq_bignumeric_numeric({quoted(column.name)})"
    declared = spelled(duckdb_type(column))
    raise SchemaMismatch(f"file {file.path}: column {column.name} is declared {declared} and holds {spelled(given)}")


def _reader(file: SourceFile, file_format: FileFormat, columns: list[Column], header: list[str]) -> str:
    path = literal(file.path)
    types = {c.name.lower(): _read_type(c, file_format) for c in columns}
    names = header if file_format == "csv" else [c.name for c in columns]
    declared = ", ".join(f"{literal(name)}: {literal(types.get(name.lower(), 'VARCHAR'))}" for name in names)
    if file_format == "csv":
        # auto_detect stays off: a sniffed type, delimiter or null would depend on the day's rows.
        return (
            f"read_csv({path}, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
            f"columns = {{{declared}}}, nullstr = '')"
        )
    return (
        f"read_json({path}, format = 'newline_delimited', auto_detect = false, "
        f"maximum_object_size = {_JSON_LINE_LIMIT_BYTES}, columns = {{{declared}}})"
    )
