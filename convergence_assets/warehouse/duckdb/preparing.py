"""A query as the embedded engine is given it: transpiled, its datasets as attached files, its parameters bound."""

from sqlglot import exp

from convergence_assets.warehouse.duckdb.parameters import bound
from convergence_assets.warehouse.duckdb.transpile import Types, UnportableSQL, to_sql, transpile_tree
from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import Dataset, ParameterValue, Query


def prepared(query: Query, types: Types, *, pretty: bool = False) -> tuple[str, dict[str, ParameterValue]]:
    """The statement and the parameters that it uses; `types` are the columns by bare table name, `pretty` puts it on
    many lines.

    Raises `InvalidQuery` with its position for what has no faithful form on this engine.
    """
    try:
        tree = transpile_tree(query.sql, types)
    except UnportableSQL as error:
        first = error.problems[0]
        raise InvalidQuery(f"{first.message}; {first.remedy}", line=first.line, column=first.column) from None
    for node in list(tree.find_all(exp.Table)):
        if node.db:
            dataset = Dataset(node.db, node.catalog or None)
            node.set("catalog", None)
            node.set("db", exp.to_identifier(str(dataset), quoted=True))
    sql = to_sql(tree, pretty=pretty)
    used = {n.name for n in tree.find_all(exp.Parameter)}
    return sql, {k: bound(k, v) for k, v in query.parameters.items() if k in used or f"${k}" in sql}
