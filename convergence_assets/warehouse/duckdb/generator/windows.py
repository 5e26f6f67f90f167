"""Analytic functions: OVER."""

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.duckdb.generator import aggregates, comparing
from convergence_assets.warehouse.duckdb.generator.calls import Argument
from convergence_assets.warehouse.duckdb.generator.names import column_name
from convergence_assets.warehouse.duckdb.generator.nodes import Fields, Unsupported, chosen, nodes_within, reading
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type
from convergence_assets.warehouse.googlesql.types import kind_of

if TYPE_CHECKING:
    from convergence_assets.warehouse.duckdb.generator.scans import Relation, Scans

_NUMBERING = {
    "row_number": "CAST(row_number() {over} AS BIGINT)", "rank": "CAST(rank() {over} AS BIGINT)",
    "dense_rank": "CAST(dense_rank() {over} AS BIGINT)", "percent_rank": "percent_rank() {over}",
    "cume_dist": "cume_dist() {over}",
}  # fmt: skip
NAMES = frozenset({
    *_NUMBERING, "ntile", "lag", "lead", "first_value", "last_value", "nth_value", "percentile_cont", "percentile_disc",
})  # fmt: skip
"""The functions that need OVER."""
_THIRTIETH, _EXACT = Decimal("1e-30"), Context(prec=800)
_NOT_CONSTANT = ("ResolvedColumnRefProto", "ResolvedSubqueryExprProto")
_FARTHEST = 2**62
"""The most rows that a frame reaches: DuckDB adds them to a row's number."""
_FARTHEST_NUMERIC = 7 * 10**28
"""In units of 1e-9, this and the largest NUMERIC have room in 128 bits."""
_BOUNDS = {0: "UNBOUNDED PRECEDING", 1: "PRECEDING", 2: "CURRENT ROW", 3: "FOLLOWING", 4: "UNBOUNDED FOLLOWING"}


def analytic(scans: "Scans", fields: Fields, columns: Sequence[Any]) -> "Relation":
    """The relation of an AnalyticScan: its input's columns and one for each call."""
    from convergence_assets.warehouse.duckdb.generator.scans import Relation, sort_key

    of = scans.relation(fields.need("input_scan"))
    selected = []
    lifted: dict[str, str] = {}
    for group in fields.take("function_group_list", ()):
        with reading("OVER", group) as group_fields:
            partition, ordering = group_fields.take("partition_by"), group_fields.take("order_by")
            keys = []
            if ordering is not None:
                with reading("ORDER BY", ordering) as order:
                    keys = [sort_key(item) for item in order.take("order_by_item_list", ())]
            by = []
            if partition is not None:
                with reading("PARTITION BY", partition) as parted:
                    for reference in parted.take("partition_by_list", ()):
                        with reading("PARTITION BY", reference) as one:
                            column = one.need("column")
                            comparing.groupable(column.type)
                            by.append(column_name(column))
            clauses = f"PARTITION BY {', '.join(by)} " if by else ""
            items = [item for key in keys for item in key.items()]
            clauses += f"ORDER BY {', '.join(items)} " if items else ""
            for computed in group_fields.take("analytic_function_list", ()):
                _, node = chosen(computed)
                with reading("OVER", node) as one:
                    _, call = chosen(one.need("expr"))
                    selected.append(f"{_call(scans, call, clauses, keys, lifted)} AS {column_name(one.need('column'))}")
    return Relation(
        f"SELECT *, {', '.join(selected)} FROM {aggregates.with_lifted(of.item, lifted)}", tuple(columns), of.order
    )


def _call(scans: "Scans", node: Any, clauses: str, keys: Sequence[Any], lifted: dict[str, str]) -> str:
    from convergence_assets.warehouse.duckdb.generator.expressions import function_name

    with reading("an analytic function", node) as fields:
        name = function_name(fields)
        frame = fields.take("window_frame")
        if frame is not None:
            framed = _frame(scans, frame, keys)
            if framed.startswith("RANGE") and "AS HUGEINT" in framed:
                clauses = clauses.partition("ORDER BY ")[0] + _wide_order(keys[0])
            clauses += framed
        over = f"OVER ({clauses})"
        if name in aggregates.FORMS:
            for one in ("signature", "argument_list", "distinct", "null_handling_modifier"):
                fields.take(one)
            return aggregates.aggregate_call(scans, node, lifted, f" {over}")
        fields.take("signature")
        nulls = fields.take("null_handling_modifier", 0)
        argument_nodes = fields.take("argument_list", ())
        if name in ("lag", "lead") and any(one for a in argument_nodes[2:] for one in nodes_within(a, _NOT_CONSTANT)):
            raise Unsupported("LAG and LEAD take a constant as their third argument", "use COALESCE")
        arguments = [aggregates.lift(scans, a, lifted) for a in argument_nodes]
    if name in _NUMBERING:
        return _NUMBERING[name].format(over=over)
    within = ", ".join(a.sql for a in arguments)
    match name:
        case "ntile":
            return f"CAST(ntile({within}) {over} AS BIGINT)"
        case "lag" | "lead":
            _offset(arguments)
            if len(arguments) > 2:  # DuckDB brings the default to the type of a NULL
                first, *others = (a.sql for a in arguments)
                within = ", ".join([f"CAST({first} AS {duckdb_type(arguments[0].type)})", *others])
            return f"{name}({within}) {over}"
        case "first_value" | "last_value" | "nth_value":
            ignore = " IGNORE NULLS" if nulls == 1 else ""
            return f"{name}({within}{ignore}) {over}"
        case "percentile_cont" | "percentile_disc" if nulls != 2:
            return _percentile(name, arguments, over)
    raise Unsupported(f"{name.upper()} with OVER has no form on the embedded engine", "write it with a join")


def _offset(arguments: Sequence[Argument]) -> None:
    if len(arguments) > 1 and arguments[1].is_literal and (arguments[1].value is None or arguments[1].value < 0):
        raise Unsupported("LAG and LEAD take an offset of 0 or more", "write a number")


def _percentile(name: str, arguments: Sequence[Argument], over: str) -> str:
    value, fraction = arguments
    if not fraction.is_literal or fraction.value is None or not 0 <= fraction.value <= 1:
        raise Unsupported(f"{name.upper()} takes a fraction from 0 to 1, written out", "write the fraction")
    return (_percentile_disc if name == "percentile_disc" else _percentile_cont)(value, fraction, over)


def _percentile_disc(value: Argument, fraction: Argument, over: str) -> str:
    # As a decimal DuckDB finds the place exactly, and has room for a hundred million rows; a double's value that
    # goes on beyond 30 decimals is off by less than decides of any two places.
    exact = Decimal(fraction.value).quantize(_THIRTIETH, context=_EXACT)
    if fraction.kind == "BIGNUMERIC" and exact != fraction.value:
        raise Unsupported("PERCENTILE_DISC with more than 30 decimals has no form on the embedded engine",
                          "round the fraction")  # fmt: skip
    place = f"CAST('{exact:f}' AS DECIMAL(31,30))"
    if value.kind == "FLOAT64":  # NaN comes first
        ranked = f"struct_pack(a := NOT isnan({value.sql}), b := {value.sql})"
        return f"(quantile_disc(CASE WHEN {value.sql} IS NOT NULL THEN {ranked} END, {place}) {over}).b"
    if value.kind not in comparing.PLAIN:
        raise Unsupported(f"PERCENTILE_DISC of {value.kind} has no form on the embedded engine", "use another type")
    return f"quantile_disc({value.sql}, {place}) {over}"


def _percentile_cont(value: Argument, fraction: Argument, over: str) -> str:
    place = float(fraction.value)
    if value.kind != "FLOAT64":
        raise Unsupported(f"PERCENTILE_CONT of {value.kind} has no form on the embedded engine", "CAST it AS FLOAT64")
    nans, count = f"count(CASE WHEN isnan({value.sql}) THEN 1 END) {over}", f"count({value.sql}) {over}"
    first = f"CASE WHEN isnan({value.sql}) THEN CAST('-inf' AS DOUBLE) ELSE {value.sql} END"
    return (
        f"CASE WHEN {count} = 0 THEN NULL WHEN floor(CAST({place!r} AS DOUBLE) * ({count} - 1)) < {nans} THEN CAST('nan' AS DOUBLE)"
        f" ELSE quantile_cont({first}, {place!r}) {over} END"
    )


def _wide_order(key: Any) -> str:
    """The ORDER BY of an INT64, or of a NUMERIC's units, whose sums with a frame's bounds are beyond its type."""
    name = column_name(key.column)
    if kind_of(key.column.type) == "NUMERIC":
        name = f"replace(CAST({name} AS VARCHAR), '.', '')"
    direction = "DESC" if key.descending else "ASC"
    nulls = "NULLS FIRST" if key.nulls_first else "NULLS LAST"
    return f"ORDER BY CAST({name} AS HUGEINT) {direction} {nulls} "


def _frame(scans: "Scans", node: Any, keys: Sequence[Any]) -> str:
    with reading("a window frame", node) as fields:
        unit = "RANGE" if fields.take("frame_unit", 0) else "ROWS"
        start, end = (_bound(scans, fields.need(side)) for side in ("start_expr", "end_expr"))
    has_distance = any(bound[1] is not None for bound in (start, end))
    if unit == "RANGE" and has_distance and kind_of(keys[0].column.type) not in ("INT64", "NUMERIC"):
        raise Unsupported("a RANGE frame over values of this type has no form on the embedded engine",
                          "order by an INT64, or use ROWS")  # fmt: skip
    if unit == "RANGE" and _is_reversed(start, end):
        if any(bound[1] is not None and not bound[1].is_literal for bound in (start, end)):
            raise Unsupported("a window frame between computed bounds has no form on the embedded engine",
                              "write them as numbers")  # fmt: skip
        return "ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING"  # no row
    by_units = unit == "RANGE" and has_distance and kind_of(keys[0].column.type) == "NUMERIC"
    wide = by_units or (unit == "RANGE" and has_distance and kind_of(keys[0].column.type) == "INT64")

    def distance(argument: Argument) -> str:
        if unit == "ROWS" and argument.is_literal and argument.value is not None:
            return str(min(argument.value, _FARTHEST))
        if by_units:
            if not argument.is_literal or argument.value is None or argument.value > _FARTHEST_NUMERIC:
                raise Unsupported(
                    "a RANGE frame this wide has no form on the embedded engine", "write a smaller number"
                )
            return f"CAST({int(Decimal(argument.value).scaleb(9, _EXACT))} AS HUGEINT)"
        return f"CAST({argument.sql} AS HUGEINT)" if wide else argument.sql

    bounds = " AND ".join(f"{distance(b[1])} {b[0]}" if b[1] is not None else b[0] for b in (start, end))
    return f"{unit} BETWEEN {bounds}"


def _is_reversed(start: tuple[str, Argument | None], end: tuple[str, Argument | None]) -> bool:
    def at(bound: tuple[str, Argument | None]) -> Any:
        if bound[1] is None:
            return {"UNBOUNDED PRECEDING": float("-inf"), "CURRENT ROW": 0}.get(bound[0], float("inf"))
        if not bound[1].is_literal:
            return None
        return -bound[1].value if bound[0] == "PRECEDING" else bound[1].value

    first, last = at(start), at(end)
    return first is None or last is None or first > last


def _bound(scans: "Scans", node: Any) -> tuple[str, Argument | None]:
    with reading("a window frame", node) as fields:
        kind = _BOUNDS[fields.take("boundary_type", 0)]
        expression = fields.take("expression")
    return kind, None if expression is None else scans.expressions.argument(expression)
