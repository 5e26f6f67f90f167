"""Scans of the resolved tree as DuckDB's SELECTs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from convergence_assets.warehouse.duckdb.generator import aggregates, array_subqueries, comparing, raising, windows
from convergence_assets.warehouse.duckdb.generator.expressions import Expressions
from convergence_assets.warehouse.duckdb.generator.names import column_name
from convergence_assets.warehouse.duckdb.generator.nodes import Fields, Unsupported, chosen, reading
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of

_SET_OPERATIONS = {
    0: "UNION ALL", 1: "UNION", 2: "INTERSECT ALL", 3: "INTERSECT", 4: "EXCEPT ALL", 5: "EXCEPT",
}  # fmt: skip
_JOINS = {0: "JOIN", 1: "LEFT JOIN", 2: "RIGHT JOIN", 3: "FULL JOIN"}

_EVERY_ROW = 2**62
_SUBQUERIES_DEEP = 12  # DuckDB's time to plan them doubles with each


@dataclass(frozen=True)
class SortKey:
    """A column that rows are in order of."""

    column: Any
    descending: bool
    nulls_first: bool

    def items(self) -> list[str]:
        return comparing.sort_keys(
            column_name(self.column), self.column.type, descending=self.descending, nulls_first=self.nulls_first
        )


@dataclass(frozen=True)
class Relation:
    """A SELECT, the columns that it gives, and the order that its rows are in where they are in any."""

    sql: str
    columns: tuple[Any, ...]
    order: tuple[SortKey, ...] = ()

    @property
    def item(self) -> str:
        """The relation as an item of FROM."""
        return f"({self.sql}) AS _"

    def order_by(self) -> str:
        """The ORDER BY clause with a blank before it, or nothing."""
        items = [item for key in self.order for item in key.items()]
        return f" ORDER BY {', '.join(items)}" if items else ""


class Scans:
    """Writes scans; `tables` are the relations of the statement's tables, by name in lower case."""

    def __init__(self, tables: Mapping[str, str], temporary: Mapping[str, Any] | None = None) -> None:
        self._tables = tables
        self.numbers = count()
        self._withs: dict[str, tuple[Any, ...]] = {}
        self._depth = self._folding = 0
        self._recursive: list[tuple[str, tuple[Any, ...]]] = []
        self.expressions = Expressions(self._subquery, temporary or {})

    def relation(self, scan: Any) -> Relation:
        """The relation of an `AnyResolvedScan`."""
        name, node = chosen(scan)
        columns = tuple(_columns_of(node))
        with reading(_shown(name), node) as fields:
            match name:
                case "single_row_scan":
                    return Relation("SELECT 1 AS one", ())
                case "table_scan":
                    return self._table(fields, columns)
                case "project_scan":
                    return self._project(fields, columns)
                case "filter_scan":
                    of = self.relation(fields.need("input_scan"))
                    where = self.expressions.sql(fields.need("filter_expr"))
                    return replace(of, sql=f"SELECT * FROM {of.item} WHERE {where}", columns=columns)
                case "join_scan":
                    return self._join(fields, columns)
                case "array_scan":
                    return self._array(fields, columns)
                case "aggregate_scan":
                    return aggregates.aggregate(self, fields, columns)
                case "analytic_scan":
                    return windows.analytic(self, fields, columns)
                case "set_operation_scan":
                    return self._set_operation(fields, columns)
                case "order_by_scan":
                    of = self.relation(fields.need("input_scan"))
                    order = tuple(map(sort_key, fields.take("order_by_item_list", ())))
                    return replace(of, order=order, columns=columns)
                case "limit_offset_scan":
                    return self._limit(fields, columns)
                case "with_scan":
                    return self._with(fields)
                case "with_ref_scan":
                    return self._with_reference(fields, columns)
                case "recursive_scan":
                    return self._recursion(fields, columns)
                case "recursive_ref_scan":
                    name, recursion_columns = self._recursive[-1]
                    return _renamed(quoted(name), recursion_columns, columns)
                case "assert_scan":
                    return self._assertion(fields, columns)
        raise Unsupported(
            f"{_shown(name)} has no form on the embedded engine", "write it with plain joins and functions"
        )

    def _table(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        table = fields.need("table").name
        selected = ", ".join(f"{quoted(c.name)} AS {column_name(c)}" for c in columns) or "1 AS one"
        return Relation(f"SELECT {selected} FROM {self._tables[table.lower()]}", tuple(columns))

    def _project(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        of = self.relation(fields.need("input_scan"))
        computed: dict[int, str] = {}
        for one in fields.take("expr_list", ()):
            with reading("a column", one) as column:
                computed[column.need("column").column_id] = self.expressions.sql(column.need("expr"))
        output_columns = list(columns)
        column_ids = {c.column_id for c in columns}
        output_columns += [key.column for key in of.order if key.column.column_id not in column_ids]
        selected = [
            f"{computed[c.column_id]} AS {column_name(c)}" if c.column_id in computed else column_name(c)
            for c in _each(output_columns)
        ]
        return Relation(f"SELECT {', '.join(selected) or '1 AS one'} FROM {of.item}", tuple(columns), of.order)

    def _join(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        left, right = (self.relation(fields.need(side)) for side in ("left_scan", "right_scan"))
        kind, condition = fields.take("join_type", 0), fields.take("join_expr")
        if fields.take("is_lateral", False):
            raise Unsupported("a LATERAL join has no form on the embedded engine", "write a join with ON")
        on = "true" if condition is None else self.expressions.sql(condition)
        return Relation(
            f"SELECT {_listed(columns)} FROM ({left.sql}) AS l {_JOINS[kind]} ({right.sql}) AS r ON {on}",
            tuple(columns),
        )

    def _array(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        arrays = [self.expressions.sql(array) for array in fields.take("array_expr_list", ())]
        elements = [column_name(column) for column in fields.take("element_column_list", ())]
        offset, number = fields.take("array_offset_column"), None
        if offset is not None:
            with reading("WITH OFFSET", offset) as offset_fields:
                number = column_name(offset_fields.need("column"))
        mode = fields.take("array_zip_mode")
        unnested = _unnested(arrays, elements, number, "PAD" if mode is None else self.expressions.argument(mode).value)
        condition = fields.take("join_expr")
        outer = fields.take("is_outer", False)
        source = fields.take("input_scan")
        on = "true" if condition is None else self.expressions.sql(condition)
        if source is None:
            return Relation(f"SELECT {_listed(columns)} FROM {unnested} AS r WHERE {on}", tuple(columns))
        of = self.relation(source)
        join = "JOIN"
        if outer:  # DuckDB takes conditions between the sides alone there
            join, unnested, on = "LEFT JOIN", f"(SELECT * FROM {unnested} AS _ WHERE {on})", "true"
        return Relation(
            f"SELECT {_listed(columns)} FROM ({of.sql}) AS l {join} LATERAL {unnested} AS r ON {on}", tuple(columns)
        )

    def _set_operation(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        operation = _SET_OPERATIONS[fields.take("op_type", 0)]
        for done_by_the_analyzer in ("column_match_mode", "column_propagation_mode"):
            fields.take(done_by_the_analyzer)
        if operation != "UNION ALL":
            for column in columns:
                comparing.groupable(column.type)
        parts = []
        for item in fields.take("input_item_list", ()):
            with reading("a set operation's part", item) as part:
                of = self.relation(part.need("scan"))
                part_columns = part.take("output_column_list", ())
            parts.append(f"({_renamed(of.item, part_columns, columns).sql})")
        return Relation(f" {operation} ".join(parts), tuple(columns))

    def _assertion(self, fields: Fields, columns: tuple[Any, ...]) -> Relation:
        of = self.relation(fields.need("input_scan"))
        condition, message = (self.expressions.sql(fields.need(name)) for name in ("condition", "message"))
        failed = raising.refused("Assert failed", f"coalesce({message}, '')", "BOOLEAN")
        # Behind a LIMIT, which DuckDB moves no later condition across: it would be asked of fewer rows.
        return replace(of, sql=f"SELECT * FROM {of.item} WHERE CASE WHEN {condition} THEN true ELSE {failed} END"
                       f" LIMIT {_EVERY_ROW}", columns=columns)  # fmt: skip

    def _limit(self, fields: Fields, columns: tuple[Any, ...]) -> Relation:
        of = self.relation(fields.need("input_scan"))
        limit, offset = fields.take("limit"), fields.take("offset")
        clause = of.order_by()
        for word, expression in (("LIMIT", limit), ("OFFSET", offset)):
            if expression is not None:
                argument = self.expressions.argument(expression)
                if argument.is_literal and argument.value is None:
                    raise Unsupported(f"{word} must not be null", "write a number")
                clause += f" {word} {argument.value if argument.is_literal else argument.sql}"
        return replace(of, sql=f"SELECT * FROM {of.item}{clause}", columns=columns)

    def _with(self, fields: Fields) -> Relation:
        entries: list[str] = []
        recursive = self._entries(fields, entries)
        query = self.relation(fields.need("query"))
        word = "WITH RECURSIVE" if recursive else "WITH"
        text = f"SELECT * FROM {query.item}" if query.sql.startswith("WITH ") else query.sql
        return replace(query, sql=f"{word} {', '.join(entries)} {text}")

    def _entries(self, fields: Fields, entries: list[str]) -> bool:
        """Write what a WITH names, in order; whether one of them is recursive."""
        recursive = bool(fields.take("recursive", False))
        for entry in fields.take("with_entry_list", ()):
            with reading("WITH", entry) as one:
                name, subquery = one.need("with_query_name"), one.need("with_subquery")
                recursive |= self._entry(name, subquery, entries)
        return recursive

    def _entry(self, name: str, subquery: Any, entries: list[str]) -> bool:
        kind, node = chosen(subquery)
        if kind == "with_scan" and self._is_recursive(node):
            # DuckDB takes no WITH within a recursion; GoogleSQL's names are unique, so that those within come first.
            with reading("WITH", node) as within:
                self._entries(within, entries)
                self._entry(name, within.need("query"), entries)
            return True
        if kind == "recursive_scan":
            self._recursive.append((name, tuple(_columns_of(node))))
        of = self.relation(subquery)
        if kind == "recursive_scan":
            self._recursive.pop()
        self._withs[name] = of.columns
        text = of.sql if kind == "recursive_scan" else _renamed(of.item, of.columns, of.columns).sql
        entries.append(f"{quoted(name)} AS ({text})")
        return False

    @staticmethod
    def _is_recursive(with_scan: Any) -> bool:
        kind, node = chosen(with_scan.query)
        return kind == "recursive_scan" or (kind == "with_scan" and Scans._is_recursive(node))

    def _with_reference(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        name = fields.need("with_query_name")
        return _renamed(quoted(name), self._withs[name], columns)

    def _recursion(self, fields: Fields, columns: Sequence[Any]) -> Relation:
        operation = _SET_OPERATIONS[fields.take("op_type", 0)]
        if operation != "UNION ALL":
            for column in columns:
                comparing.groupable(column.type)
        parts = []
        for term in ("non_recursive_term", "recursive_term"):
            with reading("WITH RECURSIVE", fields.need(term)) as part:
                of = self.relation(part.need("scan"))
                if of.order:
                    raise Unsupported("a recursive term in order has no form on the embedded engine", "order the query")
                parts.append(_renamed(of.item, part.take("output_column_list", ()), columns).sql)
        return Relation(f" {operation} ".join(parts), tuple(columns))

    def _subquery(self, fields: Fields, kind: Any) -> str:
        if self._depth >= _SUBQUERIES_DEEP:
            raise Unsupported("subqueries nest too deeply for the embedded engine", "split the statement by WITH")
        self._depth += 1
        try:
            return self._subquery_within(fields)
        finally:
            self._depth -= 1

    def _as_list(self, form: str, subquery: Any) -> str | None:
        self._folding += 1
        try:
            folded = array_subqueries.folded(self.expressions, form, subquery)
        except array_subqueries.NotAList:
            folded = None
        finally:
            self._folding -= 1
        if folded is None and self._folding:  # written once more at each level, it would be written 2^depth times
            raise array_subqueries.NotAList
        return folded

    def _subquery_within(self, fields: Fields) -> str:
        form = enum_of(fields.take("subquery_type", 0))
        subquery = fields.need("subquery")
        if (as_list := self._as_list(form, subquery)) is not None:
            return as_list
        of = self.relation(subquery)
        if form == "EXISTS":
            return f"EXISTS ({of.sql})"
        [column] = of.columns
        name = column_name(column)
        match form:
            case "SCALAR":
                return f"(SELECT {name} FROM {of.item}{of.order_by()})"
            case "ARRAY":
                return f"(SELECT coalesce(list({name}{of.order_by()}), []) FROM {of.item})"
            case "IN":
                value, item = self.expressions.sql(fields.need("in_expr")), of.item
                if kind_of(column.type) not in comparing.PLAIN:
                    if "(SELECT" in value:
                        value, item = "value0", f"(SELECT *, {value} AS value0 FROM {item}) AS _"
                    equal = comparing.equal(value, name, column.type)
                    return (f"(SELECT CASE WHEN bool_or({equal}) THEN true WHEN bool_or({equal} IS NULL) THEN NULL"
                            f" ELSE false END FROM {item})")  # fmt: skip
                return f"({value} IN (SELECT {name} FROM {of.item}))"
        raise Unsupported("this kind of subquery has no form on the embedded engine", "write EXISTS")


def enum_of(value: int) -> str:
    """A subquery's kind by its number."""
    from zetasql.wasi._pb2.zetasql.resolved_ast.resolved_ast_enums_pb2 import ResolvedSubqueryExprEnums

    return str(ResolvedSubqueryExprEnums.SubqueryType.Name(value))


def sort_key(item: Any) -> SortKey:
    """An ORDER BY item; NULL comes first, or last where descending, unless the statement has another order."""
    with reading("ORDER BY", item) as fields:
        with reading("ORDER BY", fields.need("column_ref")) as reference:
            column = reference.need("column")
        descending = bool(fields.take("is_descending", False))
        order = fields.take("null_order", 0)
    return SortKey(column, descending, order == 1 if order else not descending)


def _unnested(arrays: Sequence[str], elements: Sequence[str], number: str | None, mode: str) -> str:
    """A FROM item of arrays' elements side by side, and their places where `number` names that column."""
    if len(arrays) == 1:
        array = arrays[0]
        places = f", unnest(range(CAST(0 AS BIGINT), len({array}))) AS {number}" if number else ""
        if number and "(SELECT" in array:
            places = f", unnest(range(CAST(0 AS BIGINT), len(array0))) AS {number}"
            return f"(SELECT unnest(array0) AS {elements[0]}{places} FROM (SELECT {array} AS array0))"
        return f"(SELECT unnest({array}) AS {elements[0]}{places})"
    # Side by side in one SELECT, the shorter ones go on with NULL.
    lengths = ", ".join(f"coalesce(len({array}), 0)" for array in arrays)
    count = f"{'least' if mode == 'TRUNCATE' else 'greatest'}({lengths})"
    if mode == "STRICT":
        unequal = raising.refused("Unnested arrays under STRICT mode must have equal lengths", count, "BIGINT")
        count = f"CASE WHEN {count} <> least({lengths}) THEN {unequal} ELSE {count} END"
    cut = "" if mode == "PAD" else f"[1:{count}]"
    selected = [f"unnest(({array}){cut}) AS {element}" for array, element in zip(arrays, elements, strict=True)]
    selected += [f"unnest(range(CAST(0 AS BIGINT), {count})) AS {number}"] if number else []
    return f"(SELECT {', '.join(selected)})"


def _columns_of(node: Any) -> Sequence[Any]:
    while "column_list" not in node.DESCRIPTOR.fields_by_name:
        node = node.parent
    columns: Sequence[Any] = node.column_list
    return columns


def _each(columns: Sequence[Any]) -> list[Any]:
    """The columns, each once."""
    return list({c.column_id: c for c in columns}.values())


def _listed(columns: Sequence[Any]) -> str:
    return ", ".join(column_name(c) for c in _each(columns)) or "1 AS one"


def _renamed(source: str, source_columns: Sequence[Any], columns: Sequence[Any]) -> Relation:
    """The same rows under other columns, paired by place."""
    pairs = zip(source_columns, columns, strict=True)
    selected = ", ".join(f"{column_name(a)} AS {column_name(b)}" for a, b in pairs) or "1 AS one"
    return Relation(f"SELECT {selected} FROM {source}", tuple(columns))


def _shown(name: str) -> str:
    return name.removesuffix("_scan").replace("_", " ").upper()
