"""Declared schemas in DuckDB: kept as a table's comment, compared, and brought up to date additively."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.errors import NameTaken, NotFound
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema, is_version
from convergence_assets.warehouse.statements import absent


def create(engine: Engine, name: str, schema: TableSchema, token: str | None = None) -> None:
    """Make the table `name` (quoted) with its declaration as comment."""
    columns = ", ".join(_definition(column) for column in schema.columns)
    engine.run(f"CREATE TABLE {name} ({columns})")
    remember(engine, name, schema, token)


def remember(
    engine: Engine, name: str, schema: TableSchema, token: str | None = None, *, is_kept: bool = False
) -> None:  # fmt: skip
    """Write the declaration (and a staging table's token) into the table's comment; the version 1 of a table that
    `is_kept` beside the one that is read, too."""
    declared = asdict(schema)
    version = declared.pop("version")
    # Beside the schema, of which a former release knows every key; it reads no others.
    marked = {"version": version} if is_kept or version != 1 else {}
    engine.run(f"COMMENT ON TABLE {name} IS {literal(json.dumps(marked | {'schema': declared, 'token': token}))}")


@dataclass(frozen=True)
class Existing:
    """An existing table: its declaration; for staging, its token; and the version that it is marked with."""

    schema: TableSchema
    token: str | None
    version: int | None


def existing(engine: Engine, catalog: str) -> Mapping[str, Existing]:
    """Every table of an attached catalog (unquoted name), by table name."""
    rows = engine.run(
        "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = $catalog", {"catalog": catalog}
    )
    return {name: _parsed(comment) for name, comment in rows if comment}


def is_taken(engine: Engine, catalog: str, name: str) -> bool:
    """Whether an attached catalog has a table or view of this name, whoever made it."""
    named = "WHERE database_name = $catalog AND lower(name) = lower($name)"
    tables_and_views = (
        "SELECT database_name, table_name AS name FROM duckdb_tables() UNION ALL "
        "SELECT database_name, view_name FROM duckdb_views()"
    )
    return bool(engine.run(f"SELECT 1 FROM ({tables_and_views}) {named}", {"catalog": catalog, "name": name}))


def switch(engine: Engine, catalog: str, table: TableRef, new: TableRef, kept: TableRef) -> None:
    """As `Warehouse.switch_table`, within a transaction."""
    there = existing(engine, catalog)
    if new.table not in there:
        raise NotFound(absent(new, there))
    if kept.table in there and is_version(kept.table, there[kept.table].version):
        engine.run(f"DROP TABLE {quoted(catalog)}.{quoted(kept.table)}")
    elif is_taken(engine, catalog, kept.table):
        raise NameTaken(f"there is {kept}, which is no version of table {table}; nothing was changed")
    for before, after in ((table, kept), (new, table)):
        engine.run(f"ALTER TABLE {quoted(catalog)}.{quoted(before.table)} RENAME TO {quoted(after.table)}")
    remember(engine, f"{quoted(catalog)}.{quoted(kept.table)}", there[table.table].schema, is_kept=True)


def add_columns(engine: Engine, name: str, columns: tuple[Column, ...]) -> None:
    for column in columns:
        engine.run(f"ALTER TABLE {name} ADD COLUMN {quoted(column.name)} {duckdb_type(column)}")


def _definition(column: Column) -> str:
    required = " NOT NULL" if column.mode == "REQUIRED" else ""
    return f"{quoted(column.name)} {duckdb_type(column)}{required}"


@lru_cache(maxsize=64)
def _parsed(comment: str) -> Existing:
    stored = json.loads(comment)
    schema = stored["schema"]
    return Existing(
        TableSchema(
            columns=tuple(_column(c) for c in schema.pop("columns")),
            clustering=tuple(schema.pop("clustering")),
            version=stored.get("version", 1),
            **schema,
        ),
        stored["token"],
        stored.get("version"),
    )


def _column(stored: dict[str, object]) -> Column:
    fields = stored.pop("fields")
    assert isinstance(fields, list)
    return Column(fields=tuple(_column(f) for f in fields), **stored)  # type: ignore[arg-type]
