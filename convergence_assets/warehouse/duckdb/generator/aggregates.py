"""GROUP BY and aggregate functions."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.duckdb import limbs
from convergence_assets.warehouse.duckdb.generator import comparing
from convergence_assets.warehouse.duckdb.generator.calls import Argument
from convergence_assets.warehouse.duckdb.generator.names import column_name
from convergence_assets.warehouse.duckdb.generator.nodes import Fields, Unsupported, chosen, reading
from convergence_assets.warehouse.googlesql.types import spelled

if TYPE_CHECKING:
    from convergence_assets.warehouse.duckdb.generator.scans import Relation, Scans


class Aggregation:
    """An aggregate's call: writes it over its arguments, in its window where it has one.

    `part` puts the modifiers that all of DuckDB's aggregates share around one of them: DISTINCT, ORDER BY, a filter, a
    window.
    """

    def __init__(
        self, name: str, arguments: Sequence[Argument], kind: Any, *, distinct: bool, order: str, skips_nulls: bool,
        window: str = "", respects_nulls: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.arguments, self.type = name, arguments, kind
        self.distinct, self.order, self.skips_nulls, self.window = distinct, order, skips_nulls, window
        self.respects_nulls = respects_nulls

    def part(self, function: str, *arguments: str, condition: str = "", plain: bool = False) -> str:
        """`plain` leaves DISTINCT and ORDER BY out."""
        within = ", ".join(arguments)
        if not plain:
            within = f"{'DISTINCT ' if self.distinct else ''}{within}{self.order}"
        filtered = f" FILTER (WHERE {condition})" if condition else ""
        return f"{function}({within}){filtered}{self.window}"

    @property
    def first(self) -> str:
        return self.arguments[0].sql

    @property
    def kind(self) -> str:
        """The first argument's type."""
        return self.arguments[0].kind


def aggregate(scans: "Scans", fields: Fields, columns: Sequence[Any]) -> "Relation":
    """The relation of an AggregateScan."""
    from convergence_assets.warehouse.duckdb.generator.scans import Relation

    of = scans.relation(fields.need("input_scan"))
    selected, grouped = {}, {}
    for one in fields.take("group_by_list", ()):
        with reading("GROUP BY", one) as key:
            column, expression = key.need("column"), scans.expressions.sql(key.need("expr"))
            comparing.groupable(column.type)
            grouped[column.column_id] = (column_name(column), expression)
    for one in fields.take("aggregate_list", ()):
        _, node = chosen(one)
        with reading("an aggregate", node) as computed:
            column = computed.need("column")
            _, call = chosen(computed.need("expr"))
            selected[column.column_id] = f"{aggregate_call(scans, call)} AS {column_name(column)}"
    sets = fields.take("grouping_set_list", ())
    fields.take("rollup_column_list")
    for one in fields.take("grouping_call_list", ()):
        with reading("GROUPING", one) as call:
            with reading("GROUPING", call.need("group_by_column")) as reference:
                key = reference.need("column")
            column = call.need("output_column")
            selected[column.column_id] = f"CAST(grouping({column_name(key)}) AS BIGINT) AS {column_name(column)}"
    if not grouped:
        return Relation(f"SELECT {', '.join(selected.values()) or '1 AS one'} FROM {of.item}"
                        + ("" if selected else " LIMIT 1"), tuple(columns))  # fmt: skip
    keys = ", ".join(f"{expression} AS {name}" for name, expression in grouped.values())
    inner = f"(SELECT *, {keys} FROM {of.item}) AS _"
    names = [name for name, _ in grouped.values()]
    listed = ", ".join([*names, *selected.values()])
    by = _grouping_sets(sets) if sets else ", ".join(names)
    return Relation(f"SELECT {listed} FROM {inner} GROUP BY {by}", tuple(columns))


def _grouping_sets(sets: Sequence[Any]) -> str:
    made = []
    for one in sets:
        name, node = chosen(one)
        with reading("GROUPING SETS", node) as fields:
            match name:
                case "grouping_set":
                    made.append(f"({', '.join(_reference(r) for r in fields.take('group_by_column_list', ()))})")
                case "rollup" | "cube":
                    columns = []
                    for several in fields.take(f"{name}_column_list", ()):
                        with reading("GROUPING SETS", several) as held:
                            columns.append(f"({', '.join(_reference(r) for r in held.take('column_list', ()))})")
                    made.append(f"{name.upper()} ({', '.join(columns)})")
                case _:
                    raise Unsupported("this grouping has no form on the embedded engine", "write GROUPING SETS")
    return f"GROUPING SETS ({', '.join(made)})"


def _reference(node: Any) -> str:
    with reading("GROUP BY", node) as fields:
        return column_name(fields.need("column"))


def aggregate_call(scans: "Scans", node: Any, window: str = "") -> str:
    """An aggregate function's call, over a window where one is given."""
    from convergence_assets.warehouse.duckdb.generator.expressions import function_name, type_of
    from convergence_assets.warehouse.duckdb.generator.scans import sort_key

    with reading("an aggregate", node) as fields:
        name = function_name(fields)
        fields.take("signature")
        if fields.take("error_mode", 0):
            raise Unsupported("SAFE. before an aggregate has no form on the embedded engine", "leave SAFE. out")
        arguments = [scans.expressions.argument(a) for a in fields.take("argument_list", ())]
        nulls = fields.take("null_handling_modifier", 0)
        items = [item for key in map(sort_key, fields.take("order_by_item_list", ())) for item in key.items()]
        limit = fields.take("limit")
        having = fields.take("having_modifier")
        call = Aggregation(
            name, arguments, type_of(node), distinct=bool(fields.take("distinct", False)),
            order=f" ORDER BY {', '.join(items)}" if items else "", skips_nulls=nulls == 1, window=window,
            respects_nulls=nulls == 2,
        )  # fmt: skip
        if call.distinct:
            for argument in arguments[:1]:
                comparing.groupable(argument.type)
        if window:
            fields.take("window_frame")
        form = FORMS.get(name)
        if form is None:
            raise Unsupported(f"the aggregate {name.upper()} has no form on the embedded engine",
                              "use one that the pipelines guide lists")  # fmt: skip
        if having is not None:
            return _of_extreme_rows(scans, call, having)
        if limit is not None:
            if name not in ("array_agg", "string_agg", "array_concat_agg"):
                raise Unsupported(f"{name.upper()} with LIMIT has no form on the embedded engine", "leave LIMIT out")
            return _limited(call, scans.expressions.argument(limit))
        return form(call)


def _of_extreme_rows(scans: "Scans", call: Aggregation, modifier: Any) -> str:
    with reading("HAVING", modifier) as fields:
        kind = fields.need("kind")
        by = scans.expressions.argument(fields.need("having_expr"))
    if call.name != "any_value" or by.kind not in comparing.PLAIN or call.window:
        raise Unsupported(f"{call.name.upper()} with HAVING MAX or MIN has no form on the embedded engine",
                          "use ANY_VALUE, or filter the rows first")  # fmt: skip
    return f"{'arg_max_null' if kind == 1 else 'arg_min_null'}({call.first}, {by.sql})"


def _limited(call: Aggregation, limit: Argument) -> str:
    if not limit.is_literal or call.window:
        raise Unsupported("LIMIT that is not a literal has no form on the embedded engine", "write a number")
    if call.name == "string_agg":
        separator = call.arguments[1].sql if len(call.arguments) > 1 else "','"
        listed = call.part("list", call.first, condition=f"{call.first} IS NOT NULL")
        return f"array_to_string(nullif(({listed})[1:{limit.value}], []), {separator})"
    return f"nullif(({FORMS[call.name](call)})[1:{limit.value}], [])"


def _sum(call: Aggregation) -> str:
    match call.kind:
        case "INT64":
            return f"CAST({call.part('sum', call.first)} AS BIGINT)"
        case "FLOAT64":
            return f"bq_sum_float64({call.part('sum', call.first)}, {_has_infinite(call)})"
        case "NUMERIC":
            return f"bq_total_numeric({call.part('sum', call.first)})"
        case "BIGNUMERIC" if not call.distinct:
            words = ", ".join(call.part("sum", f"struct_extract({call.first}, '{word}')") for word in limbs.WORDS)
            return f"bq_total_bignumeric({words})"
    raise _unsupported(call)


def _has_infinite(call: Aggregation) -> str:
    return call.part("bool_or", f"NOT isfinite({call.first})", plain=True)


def _average(call: Aggregation) -> str:
    match call.kind:
        case "INT64":
            return f"(CAST({call.part('sum', call.first)} AS DOUBLE) / {_nonzero(call)})"
        case "FLOAT64":
            return call.part("avg", call.first)
        case "NUMERIC":
            return f"bq_average_numeric({call.part('sum', call.first)}, {call.part('count', call.first)})"
        case "BIGNUMERIC" if not call.distinct:
            words = ", ".join(call.part("sum", f"struct_extract({call.first}, '{word}')") for word in limbs.WORDS)
            return f"bq_average_bignumeric({words}, {call.part('count', call.first)})"
    raise _unsupported(call)


def _nonzero(call: Aggregation) -> str:
    return f"nullif({call.part('count', call.first)}, 0)"


def _extreme(function: str) -> Callable[[Aggregation], str]:
    def form(call: Aggregation) -> str:
        if call.kind == "FLOAT64":
            nan = call.part("bool_or", f"isnan({call.first})", plain=True)
            return f"CASE WHEN {nan} THEN CAST('nan' AS DOUBLE) ELSE {call.part(function, call.first, plain=True)} END"
        if call.kind not in comparing.PLAIN:
            raise _unsupported(call)
        return call.part(function, call.first, plain=True)

    return form


def _listed(call: Aggregation) -> str:
    condition = f"{call.first} IS NOT NULL" if call.skips_nulls else ""
    return call.part("list", call.first, condition=condition)


def _joined(call: Aggregation) -> str:
    separator = call.arguments[1].sql if len(call.arguments) > 1 else ("','" if call.kind == "STRING" else "")
    if call.kind != "STRING":
        raise _unsupported(call)
    if call.window:
        return f"array_to_string({call.part('list', call.first, condition=f'{call.first} IS NOT NULL')}, {separator})"
    return call.part("string_agg", call.first, separator)


def _counted_if(call: Aggregation) -> str:
    # Not DuckDB's count_if, which is a sum: NULL where no row is TRUE or FALSE.
    return call.part("count", f"CASE WHEN {call.first} THEN true END")


def _of_floats(function: str) -> Callable[[Aggregation], str]:
    def form(call: Aggregation) -> str:
        if call.distinct or any(a.kind not in ("FLOAT64",) for a in call.arguments):
            raise _unsupported(call)
        given = [a.sql for a in call.arguments]
        finite = " AND ".join(f"isfinite({g})" for g in given)
        odd = call.part("bool_or", f"NOT ({finite})", plain=True)
        known = " AND ".join(f"{g} IS NOT NULL" for g in given)
        made = call.part(function, *given, condition=f"{known} AND {finite}")
        return f"CASE WHEN {odd} THEN CAST('nan' AS DOUBLE) ELSE {made} END"

    return form


def _unsupported(call: Aggregation) -> Unsupported:
    given = ", ".join(spelled(a.type) for a in call.arguments)
    distinct = "DISTINCT " if call.distinct else ""
    return Unsupported(
        f"{call.name.upper()}({distinct}{given}) has no form on the embedded engine", "CAST its argument"
    )


FORMS: dict[str, Callable[[Aggregation], str]] = {
    "$count_star": lambda call: call.part("count", "*", plain=True),
    "count": lambda call: call.part("count", call.first),
    "countif": _counted_if,
    "sum": _sum,
    "avg": _average,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "any_value": lambda call: call.part("any_value", call.first, plain=True),
    "array_agg": _listed,
    "array_concat_agg": lambda call: f"flatten({call.part('list', call.first, condition=f'{call.first} IS NOT NULL')})",
    "string_agg": _joined,
    "logical_and": lambda call: call.part("bool_and", call.first, plain=True),
    "logical_or": lambda call: call.part("bool_or", call.first, plain=True),
    "bit_and": lambda call: call.part("bit_and", call.first, plain=True),
    "bit_or": lambda call: call.part("bit_or", call.first, plain=True),
    "bit_xor": lambda call: call.part("bit_xor", call.first),
    "stddev_samp": _of_floats("stddev_samp"),
    "stddev_pop": _of_floats("stddev_pop"),
    "var_samp": _of_floats("var_samp"),
    "var_pop": _of_floats("var_pop"),
    "corr": _of_floats("corr"),
    "covar_pop": _of_floats("covar_pop"),
    "covar_samp": _of_floats("covar_samp"),
}
