"""The names in a parsed SELECT: tables it reads, columns it needs from them, columns it returns."""

from collections.abc import Iterator

from sqlglot import exp

from convergence_assets.pipelines.compiled_sql import ColumnName, TableReference

# Words that sqlglot reads as columns where BigQuery takes a part of a date.
_DATE_PARTS = frozenset({
    "microsecond", "millisecond", "second", "minute", "hour", "day", "dayofweek", "dayofyear", "week", "isoweek",
    "month", "quarter", "year", "isoyear", "date", "time", "monday", "tuesday", "wednesday", "thursday", "friday",
    "saturday", "sunday",
})  # fmt: skip


def table_references(text: str, tree: exp.Expr) -> tuple[TableReference, ...]:
    """The bare names that are no CTE, in the text's order."""
    references = []
    for table in tree.find_all(exp.Table):
        if table.db or not isinstance(table.this, exp.Identifier) or "start" not in table.this.meta:
            continue
        if _is_a_cte(table):
            continue
        start, end = table.this.meta["start"], table.this.meta["end"] + 1
        if text[start - 1 : start] == "`":
            start, end = start - 1, end + 1
        references.append(TableReference(table.name, start, end, text[:start].count("\n") + 1, bool(table.alias)))
    return tuple(sorted(references, key=lambda r: r.start))


def qualified_tables(tree: exp.Expr) -> Iterator[ColumnName]:
    """What is read under a name with a dot: a table with its dataset, which hides it from the tenant's graph and from
    its sources, or an array as `FROM t, t.items`. Whether it is the one or the other each engine decides by itself."""
    for table in tree.find_all(exp.Table):
        if table.db:
            yield ColumnName(".".join(p.name for p in table.parts), _line(table))


def needed_columns(tree: exp.Expr) -> tuple[ColumnName, ...]:
    """Names of columns and fields that the statement itself does not define.

    Scopes are not distinguished: a name that is defined anywhere in the statement counts as defined everywhere.
    """
    defined = set(_DATE_PARTS)
    for node in tree.walk():
        if isinstance(node, exp.Alias | exp.Subquery | exp.Table | exp.CTE | exp.Unnest):
            defined.update((node.alias.lower(), *(c.lower() for c in node.alias_column_names)))
        elif isinstance(node, exp.PropertyEQ | exp.Window):
            defined.add(node.this.name.lower() if isinstance(node, exp.PropertyEQ) else node.alias.lower())
        if isinstance(node, exp.Table):
            defined.add(node.name.lower())
        if isinstance(node, exp.Unnest) and isinstance(node.args.get("offset"), exp.Expr):
            defined.add(node.args["offset"].name.lower())
    needed: dict[str, ColumnName] = {}
    for column in tree.find_all(exp.Column):
        for part in column.parts:
            if isinstance(part, exp.Identifier) and part.name.lower() not in defined:
                needed.setdefault(part.name.lower(), ColumnName(part.name, _line(part)))
    return tuple(needed.values())


def unread_names(tree: exp.Query) -> tuple[ColumnName, ...]:
    """Names that the statement gives to a table, a CTE or an inner column and never uses."""
    used = {part.name.lower() for column in tree.find_all(exp.Column) for part in column.parts}
    used |= {part.name.lower() for table in tree.find_all(exp.Table) for part in table.parts}
    outer = {id(projection) for projection in tree.selects}
    return tuple(
        ColumnName(node.alias, _line(node.args["alias"]))
        for node in tree.find_all(exp.CTE, exp.Alias, exp.Subquery, exp.Table)
        if node.alias and node.alias.lower() not in used and id(node) not in outer
    )


def returned_columns(tree: exp.Query) -> tuple[ColumnName, ...] | None:
    """The columns that the statement returns, in order; None where a `*` leaves them open."""
    select = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select) or select.args.get("kind") or select.is_star:
        return None
    columns = []
    for projection in select.expressions:
        name = projection.args.get("alias") if isinstance(projection, exp.Alias) else projection
        columns.append(ColumnName(projection.alias_or_name, _line(name if isinstance(name, exp.Expr) else projection)))
    return tuple(columns)


def _line(node: exp.Expr) -> int:
    return next((n.meta["line"] for n in node.walk(bfs=False) if "line" in n.meta), 1)


def _is_a_cte(table: exp.Table) -> bool:
    """Whether a CTE of that name is visible at the table's place: a later one, or its own, is not."""
    name = table.name.lower()
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        visible: list[exp.CTE] = []
        if isinstance(above, exp.With):
            at = next(i for i, cte in enumerate(above.expressions) if cte is below)
            visible = above.expressions[: at + bool(above.recursive)]
        elif isinstance(above, exp.Query) and not isinstance(below, exp.With):
            visible = above.ctes
        if any(cte.alias.lower() == name for cte in visible):
            return True
        below, above = above, above.parent
    return False
