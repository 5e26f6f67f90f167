"""Files of a declared schema into a table: the one INSERT that loads CSV, JSON Lines or Parquet."""

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.rows import partition_literal
from convergence_assets.warehouse.duckdb.tables import literal, quoted
from convergence_assets.warehouse.duckdb.transpile import duckdb_type
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import FileFormat, SourceFile
from convergence_assets.warehouse.schema import Column, TableSchema

_JSON_LINE_LIMIT_BYTES = 100 * 1024 * 1024


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
    values = [_value(c, file_format) for c in in_file] + list(filled.values())
    source = _reader(file, file_format, in_file, present or [])
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
    if file_format == "parquet":
        return f"CAST({quoted(column.name)} AS {duckdb_type(column)})"
    return quoted(column.name)


def _reader(file: SourceFile, file_format: FileFormat, columns: list[Column], header: list[str]) -> str:
    path = literal(file.path)
    if file_format == "parquet":
        return f"read_parquet({path})"
    types = {c.name.lower(): duckdb_type(c) for c in columns}
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
