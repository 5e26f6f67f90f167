"""BigQuery's comparisons: NaN is unequal to all, a STRUCT is compared field by field."""

from typing import Any

from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.types import fields_of
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

PLAIN = frozenset({
    "STRING", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BYTES",
})  # fmt: skip
"""Types that DuckDB compares, groups and orders as BigQuery does."""


def equal(left: str, right: str, kind: Any) -> str:
    """Whether two values of a type are equal; NULL where that is unknown."""
    match kind_of(kind):
        case plain if plain in PLAIN:
            return f"({left} = {right})"
        case "FLOAT64":
            return f"bq_equal_float64({left}, {right})"
        case "INTERVAL":
            return f"(bq_interval_length({left}) = bq_interval_length({right}))"
        case "STRUCT":
            parts = [equal(f"({left}).{quoted(name)}", f"({right}).{quoted(name)}", of) for name, of in fields_of(kind)]
            return f"({' AND '.join(parts)})"
    raise Unsupported(f"values of type {spelled(kind)} are not compared on the embedded engine", "compare their parts")


def ordered(left: str, operator: str, right: str, kind: Any) -> str:
    """`left` before or after `right`; `operator` is <, <=, > or >=."""
    match kind_of(kind):
        case plain if plain in PLAIN:
            return f"({left} {operator} {right})"
        case "FLOAT64":
            return f"bq_ordered_float64({left}, {right}, {left} {operator} {right})"
        case "INTERVAL":
            return f"(bq_interval_length({left}) {operator} bq_interval_length({right}))"
    raise Unsupported(f"values of type {spelled(kind)} are not ordered on the embedded engine", "compare their parts")


def distinct(left: str, right: str, kind: Any) -> str:
    """IS DISTINCT FROM, to which NULL equals NULL and NaN equals NaN."""
    if has_only(kind, PLAIN | {"FLOAT64"}):
        return f"({left} IS DISTINCT FROM {right})"
    raise Unsupported(f"values of type {spelled(kind)} are not compared on the embedded engine", "compare their parts")


def groupable(kind: Any) -> None:
    """Raises `Unsupported` for a type whose values DuckDB takes for equal in another way than BigQuery."""
    if not has_only(kind, PLAIN | {"FLOAT64"}):
        raise Unsupported(
            f"values of type {spelled(kind)} are not grouped on the embedded engine", "group by its parts"
        )


def has_only(kind: Any, kinds: frozenset[str]) -> bool:
    """Whether a type is one of these, or a STRUCT or ARRAY of them."""
    match kind_of(kind):
        case "ARRAY":
            return has_only(kind.array_type.element_type, kinds)
        case "STRUCT":
            return all(has_only(f.field_type, kinds) for f in kind.struct_type.field)
        case plain:
            return plain in kinds


def sort_keys(column: str, kind: Any, *, descending: bool, nulls_first: bool) -> list[str]:
    """The ORDER BY items of one column: BigQuery puts NaN before all other numbers."""
    direction = "DESC" if descending else "ASC"
    nulls = "NULLS FIRST" if nulls_first else "NULLS LAST"
    match kind_of(kind):
        case plain if plain in PLAIN:
            return [f"{column} {direction} {nulls}"]
        case "FLOAT64":
            return [f"(NOT isnan({column})) {direction} {nulls}", f"{column} {direction} {nulls}"]
        case "INTERVAL":
            return [f"bq_interval_length({column}) {direction} {nulls}"]
    raise Unsupported(f"values of type {spelled(kind)} are not ordered on the embedded engine", "order by its parts")
