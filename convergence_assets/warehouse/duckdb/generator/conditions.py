"""Comparisons and conditions."""

from collections.abc import Sequence

from convergence_assets.warehouse.duckdb.generator import comparing
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type, element_of
from convergence_assets.warehouse.googlesql.types import spelled

MACROS = (
    "bq_equal_float64(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN isnan(a) OR isnan(b) THEN false ELSE a = b END",
    "bq_ordered_float64(a, b, c) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN isnan(a) OR isnan(b) THEN false ELSE c END",
    "bq_in_array(a, b) AS CASE WHEN b IS NULL OR len(b) = 0 THEN false WHEN a IS NULL THEN NULL"
    " WHEN list_contains(b, a) THEN true WHEN list_count(b) < len(b) THEN NULL ELSE false END",
    "bq_any_true(a) AS CASE WHEN a IS NULL OR len(a) = 0 THEN false WHEN list_contains(a, true) THEN true"
    " WHEN list_count(a) < len(a) THEN NULL ELSE false END",
    "bq_interval_length(a) AS (date_part('year', a) * 12 + date_part('month', a)) * CAST(2592000000000 AS HUGEINT)"
    " + date_part('day', a) * CAST(86400000000 AS HUGEINT) + epoch_us(a - to_days(CAST(date_part('day', a) AS INTEGER))"
    " - to_months(CAST(date_part('year', a) * 12 + date_part('month', a) AS INTEGER)))",
)


def add_entries(entries: Entries) -> None:
    _comparisons(entries)
    _conditions(entries)


def _comparisons(entries: Entries) -> None:
    entries.add("$equal", "ANY ANY", lambda c: comparing.equal(c.arguments[0].sql, c.arguments[1].sql, _same(c)))
    entries.add(
        "$not_equal", "ANY ANY", lambda c: f"(NOT {comparing.equal(c.arguments[0].sql, c.arguments[1].sql, _same(c))})"
    )
    for name, sign in (("$less", "<"), ("$less_or_equal", "<="), ("$greater", ">"), ("$greater_or_equal", ">=")):
        entries.add(name, "ANY ANY", _ordered(sign))
    entries.add("$between", "ANY ANY ANY", _between)
    entries.add(
        "$is_distinct_from", "ANY ANY", lambda c: comparing.distinct(c.arguments[0].sql, c.arguments[1].sql, _same(c))
    )
    entries.add(
        "$is_not_distinct_from",
        "ANY ANY",
        lambda c: f"(NOT {comparing.distinct(c.arguments[0].sql, c.arguments[1].sql, _same(c))})",
    )
    entries.add("$in", "ANY ANY ...", _in)
    entries.add("$in_array", "ANY ARRAY", _in_array)
    entries.add("$is_null", "ANY", "({0} IS NULL)")
    entries.add("$is_true", "BOOL", "({0} IS NOT NULL AND {0})")
    entries.add("$is_false", "BOOL", "({0} IS NOT NULL AND NOT {0})")
    entries.add("$not", "BOOL", "(NOT {0})")
    entries.add("$and", "BOOL ...", lambda c: f"({' AND '.join(a.sql for a in c.arguments)})")
    entries.add("$or", "BOOL ...", lambda c: f"({' OR '.join(a.sql for a in c.arguments)})")
    entries.add(
        "nullif",
        "ANY ANY",
        lambda c: (
            f"CASE WHEN {comparing.equal(c.arguments[0].sql, c.arguments[1].sql, _same(c))} THEN NULL ELSE {c.arguments[0].sql} END"
        ),
    )
    for name in ("greatest", "least"):
        entries.add(name, "ANY ...", _extreme(name))


def _same(call: Call) -> object:
    """The one type of a comparison's operands."""
    kinds = {spelled(a.type) for a in call.arguments}
    if len(kinds) > 1 and {a.kind for a in call.arguments} != {"STRUCT"}:
        raise Unsupported(f"{' and '.join(sorted(kinds))} are not compared on the embedded engine", "CAST one of them")
    if len(kinds) > 1:
        raise Unsupported("STRUCTs with other field names are not compared on the embedded engine", "name them alike")
    return call.arguments[0].type


def _ordered(sign: str):  # type: ignore[no-untyped-def]
    return lambda c: comparing.ordered(c.arguments[0].sql, sign, c.arguments[1].sql, _same(c))


def _between(call: Call) -> str:
    value, low, high = (a.sql for a in call.arguments)
    kind = _same(call)
    if call.arguments[0].kind in comparing.PLAIN - {"BIGNUMERIC"}:
        return f"({value} BETWEEN {low} AND {high})"
    return f"({comparing.ordered(value, '>=', low, kind)} AND {comparing.ordered(value, '<=', high, kind)})"


def _in(call: Call) -> str:
    value, *others = call.arguments
    kind = _same(call)
    if value.kind in comparing.PLAIN:
        return f"({value.sql} IN ({', '.join(o.sql for o in others)}))"
    return f"({' OR '.join(comparing.equal(value.sql, o.sql, kind) for o in others)})"


def _in_array(call: Call) -> str:
    value, array = call.arguments
    if value.kind not in comparing.PLAIN:
        equal = comparing.equal(value.sql, "e", _same_element(value, array))
        return f"bq_any_true(list_transform({array.sql}, lambda e: {equal}))"
    return f"bq_in_array({value.sql}, {array.sql})"


def _same_element(value: Argument, array: Argument) -> object:
    if spelled(value.type) != spelled(element_of(array.type)):
        raise Unsupported("IN UNNEST of another type has no form on the embedded engine", "CAST the value")
    return value.type


def _extreme(name: str):  # type: ignore[no-untyped-def]
    def form(call: Call) -> str:
        kinds = {a.kind for a in call.arguments}
        operands = [a.sql for a in call.arguments]
        if not kinds <= comparing.PLAIN | {"FLOAT64"} or len(kinds) > 1:
            raise Unsupported(f"{name.upper()} of these types has no form on the embedded engine", "CAST them")
        absent = " OR ".join(f"{g} IS NULL" for g in operands)
        extreme = f"{name}({', '.join(operands)})"
        if kinds == {"FLOAT64"}:
            nan = " OR ".join(f"isnan({g})" for g in operands)
            extreme = f"CASE WHEN {nan} THEN CAST('nan' AS DOUBLE) ELSE {extreme} END"
        return f"CASE WHEN {absent} THEN NULL ELSE {extreme} END"

    return form


def _conditions(entries: Entries) -> None:
    entries.add("if", "BOOL ANY ANY", "CASE WHEN {0} THEN {1} ELSE {2} END")
    entries.add("ifnull", "ANY ANY", "coalesce({0}, {1})")
    # A list of the value is NULL only where there is an error.
    entries.add("iferror", "ANY ANY", "coalesce(TRY([{0}]), [{1}])[1]")
    entries.add("iserror", "ANY", "(TRY([{0}]) IS NULL)")
    entries.add("coalesce", "ANY ...", lambda c: f"coalesce({', '.join(a.sql for a in c.arguments)})")
    entries.add("$case_no_value", "ANY ...", _case)
    entries.add("$case_with_value", "ANY ...", _case_of)
    entries.add("error", "STRING", lambda c: f"CAST(error({c.arguments[0].sql}) AS {duckdb_type(c.type)})")


def _case(call: Call) -> str:
    operands = [a.sql for a in call.arguments]
    arms = "".join(f" WHEN {operands[at]} THEN {operands[at + 1]}" for at in range(0, len(operands) - 1, 2))
    return f"(CASE{arms}{f' ELSE {operands[-1]}' if len(operands) % 2 else ''} END)"


def _case_of(call: Call) -> str:
    value, *branches = call.arguments

    def arms(texts: Sequence[str]) -> str:
        written = "".join(
            f" WHEN {comparing.equal(texts[0], branches[at].sql, value.type)} THEN {branches[at + 1].sql}"
            for at in range(0, len(branches) - 1, 2)
        )
        return f"(CASE{written}{f' ELSE {branches[-1].sql}' if len(branches) % 2 else ''} END)"

    # A lambda holds no subquery.
    return arms([value.sql]) if any("(SELECT" in a.sql for a in branches) else once([value.sql], arms)
