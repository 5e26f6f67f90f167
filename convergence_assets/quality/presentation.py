"""From the engine's result to a partition's outcome, with the values of sensitive columns hidden."""

from collections.abc import Iterable, Mapping
from typing import Any

from convergence_assets.quality.engine import Raw
from convergence_assets.quality.expectations import (
    TABLE_SHAPE,
    Expectation,
    PartitionOutcome,
    Scalar,
    columns_named,
    columns_touched,
)
from convergence_assets.quality.gx_compat import map_metric
from convergence_assets.quality.values import ERROR_LENGTH, MASK, example, examples, observed, row_example, shortened

_SAYS_NO_VALUE = frozenset({
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_type_to_be",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_of_type",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
}) | TABLE_SHAPE  # fmt: skip
"""Types whose observed value is a count, a share or a type: nothing that a sensitive column holds."""


def partition_outcome(
    expectation: Expectation, raw: Raw, sensitive: frozenset[str], unexpected: Iterable[object] | None = None
) -> PartitionOutcome:
    """One partition's outcome. `unexpected` are the unexpected values or rows where the engine did not list them."""
    if raw.error is not None:
        return PartitionOutcome(passed=False, error=error_text(expectation, raw.error, sensitive))
    result = raw.result
    values = result.get("partial_unexpected_list") if unexpected is None else unexpected
    elements = result.get("element_count")
    return PartitionOutcome(
        passed=raw.success,
        observed_value=_observed(expectation, result, sensitive),
        unexpected_count=_count(result.get("unexpected_count")),
        unexpected_percent=_percent(result.get("unexpected_percent")),
        examples=examples(shown(expectation, value, sensitive) for value in values or ()),
        considered=None if elements is None else int(elements) - int(result.get("missing_count") or 0),
    )


def nothing_to_judge(built: Any) -> PartitionOutcome:
    """The outcome of a built expectation of values in a partition without rows."""
    none_of_none = 0 if map_metric(built) is not None else None
    return PartitionOutcome(passed=True, unexpected_count=none_of_none, considered=none_of_none)


def error_text(expectation: Expectation, error: str, sensitive: frozenset[str]) -> str:
    """An error as it may be shown: the libraries' messages quote values, so a sensitive column's is not passed on."""
    hidden = touched_in_secret(expectation, sensitive)
    if hidden:
        head = error.partition(":")[0]
        kind = head if head.isidentifier() else "error"
        return f"{kind} (its text may hold values of the sensitive column {', '.join(sorted(hidden))} and is not shown)"
    return shortened(error, ERROR_LENGTH)


def touched_in_secret(expectation: Expectation, sensitive: frozenset[str]) -> frozenset[str]:
    """The sensitive columns that an expectation reads, by their lower-case names."""
    return frozenset(name.lower() for name in columns_touched(expectation)) & {name.lower() for name in sensitive}


def shown(expectation: Expectation, value: object, sensitive: frozenset[str]) -> str:
    """One unexpected value, pair of values or row as an example."""
    names = columns_named(expectation.kwargs)
    hidden = {name.lower() for name in sensitive}
    masked = [name for name in names if name.lower() in hidden]
    if isinstance(value, Mapping):
        return row_example(value, masked)
    if isinstance(value, tuple) and len(value) == len(names) > 1:
        return row_example(dict(zip(names, value, strict=True)), masked)
    return MASK if masked else example(value)


def _observed(expectation: Expectation, result: Mapping[str, Any], sensitive: frozenset[str]) -> Scalar:
    value = observed(result.get("observed_value"))
    if value is None or expectation.type in _SAYS_NO_VALUE:
        return value
    return MASK if touched_in_secret(expectation, sensitive) else value


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def _percent(value: Any) -> float | None:
    return None if value is None else float(value)
