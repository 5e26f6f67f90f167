"""A query as the embedded engine is given it: in DuckDB's SQL, its datasets as attached files, its parameters bound."""

from collections.abc import Callable, Mapping

from convergence_assets.warehouse.duckdb.outcomes import outcome
from convergence_assets.warehouse.duckdb.parameters import bound
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.errors import InvalidQuery, WarehouseError
from convergence_assets.warehouse.googlesql.module import AnalyzerMissing
from convergence_assets.warehouse.schema import (
    PARAMETER_TYPES,
    TABLE_SUFFIX,
    Column,
    Dataset,
    ParameterValue,
    Query,
    TableRef,
    Written,
)
from convergence_assets.warehouse.statements import shortened

Types = Mapping[str, Mapping[str, Column]]


def prepared(query: Query, types: Types, *, pretty: bool = False) -> tuple[str, dict[str, ParameterValue]]:
    """The statement and the parameters that it uses; `types` are the columns of tables by full name, `pretty` puts it
    on many lines.

    Raises `InvalidQuery` with its position for what has no faithful form on this engine, `WarehouseError` where
    that cannot be decided.
    """
    try:
        sql = _generated(query.written, types) if query.written is not None else _of_full_names(query, types)
    except AnalyzerMissing as missing:
        raise WarehouseError(f"this statement needs Google's SQL analyzer to run here: {missing}") from None
    return _laid_out(sql) if pretty else sql, _used(query.parameters, sql)


def _of_full_names(query: Query, types: Types) -> str:
    """A statement that names its tables in full: the platform's own, or a person's single query."""
    short = shortened(query.sql)
    columns = {name: tuple(types[str(table)].values()) for name, table in short.tables.items()}
    relations = {name: table.quoted for name, table in short.tables.items()}
    parameters = {name: PARAMETER_TYPES[type(value)] for name, value in query.parameters.items()}
    suffixed = {name: (Column(TABLE_SUFFIX, "STRING"),) for name, table in short.tables.items() if table.prefix}
    return _generated(Written(short.sql, relations, columns, suffixed, parameters), types, short.place)


def _generated(written: Written, types: Types, place: Callable[[int, int], tuple[int, int]] | None = None) -> str:
    result = outcome(written.sql, written.columns, written.parameters, written.pseudo_columns)
    for problem in result.refusals + result.unsupported:
        line, column = place(problem.line, problem.column) if place else (problem.line, problem.column)
        message = f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message
        raise InvalidQuery(message, line=line, column=column)
    return result.over({name.lower(): _relation(text, written, types) for name, text in written.relations.items()})


def _relation(text: str, written: Written, types: Types) -> str:
    """DuckDB's SQL for a table's name."""
    if not text.startswith("("):
        table = TableRef.parse(text)
        return _name(table) if table.prefix is None else _of_wildcard(table, types)
    query = _of_full_names(Query(text[1:-1]), types)
    names = ", ".join(f"{quoted(new)} AS {quoted(old)}" for old, new in written.renamed.items())
    return f"(SELECT * RENAME ({names}) FROM ({query}))" if names else f"({query})"


def _name(table: TableRef) -> str:
    return f"{quoted(str(Dataset.of(table)))}.{quoted(table.table)}"


def _of_wildcard(wildcard: TableRef, types: Types) -> str:
    """The rows of all its tables, each with the rest of its table's name; a column that a table lacks is NULL."""
    dataset, prefix = f"{Dataset.of(wildcard)}.", wildcard.prefix or ""
    matching = [TableRef.parse(name) for name in types if name.startswith(dataset + prefix) and name[-1] != "*"]
    selects = (
        f"SELECT *, {literal(table.table.removeprefix(prefix))} AS {quoted(TABLE_SUFFIX)} FROM {_name(table)}"
        for table in matching
    )
    return f"({' UNION ALL BY NAME '.join(selects)})"


def _used(parameters: Mapping[str, ParameterValue], sql: str) -> dict[str, ParameterValue]:
    return {name: bound(name, value) for name, value in parameters.items() if f"${name.lower()}" in sql}


def _laid_out(sql: str) -> str:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb").sql(dialect="duckdb", pretty=True)
