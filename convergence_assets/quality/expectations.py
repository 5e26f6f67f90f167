"""What a check is and what came of it: expectations with readable names, and their outcomes. No engine in here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from convergence_assets.row_conditions import ConditionError, columns_of, read_condition

Severity = Literal["critical", "warning", "info"]
Scalar: TypeAlias = str | int | float | bool | None

EXAMPLES_KEPT = 20

UNEXPECTED_ROWS = "unexpected_rows_expectation"

TABLE_SHAPE = frozenset({
    "expect_column_to_exist",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
})  # fmt: skip
"""Types that ask about the declared table and read no rows."""


@dataclass(frozen=True)
class Expectation:
    """One expectation in Great Expectations' own terms, with the name of its check."""

    name: str
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity = "critical"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PartitionOutcome:
    """An expectation judged over one partition. `considered` counts the rows that it judged."""

    passed: bool
    observed_value: Scalar = None
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    examples: tuple[str, ...] = ()
    error: str | None = None
    considered: int | None = None


@dataclass(frozen=True)
class CheckOutcome:
    """An expectation judged over a run: passed where every partition passed, counts summed, examples of all.

    `rules` are the outcomes that it stands for, where it stands for rules; `clause` is a rule's level and text.
    """

    name: str
    type: str
    column: str | None
    severity: Severity
    passed: bool
    observed_value: Scalar = None
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    examples: tuple[str, ...] = ()
    error: str | None = None
    partitions: Mapping[str, PartitionOutcome] = field(default_factory=dict)
    rules: tuple["CheckOutcome", ...] = ()
    clause: str | None = None

    @property
    def failed_partitions(self) -> tuple[str, ...]:
        """The keys of the partitions that did not pass, in the run's order."""
        return tuple(key for key, outcome in self.partitions.items() if not outcome.passed)


def outcome_over(expectation: Expectation, partitions: Mapping[str, PartitionOutcome]) -> CheckOutcome:
    """One outcome from those of its partitions; no partition at all is a failed check."""
    parts = list(partitions.values())
    failed = [p for p in parts if not p.passed]
    counts = [p.unexpected_count for p in parts if p.unexpected_count is not None]
    considered = sum(p.considered or 0 for p in parts)
    observed = {repr(p.observed_value): p.observed_value for p in failed[:1] or parts}
    percent = parts[0].unexpected_percent if len(parts) == 1 else None
    if len(parts) > 1 and counts and considered:
        percent = 100 * sum(counts) / considered
    errors = list(dict.fromkeys(p.error for p in failed if p.error))
    return CheckOutcome(
        name=expectation.name,
        type=expectation.type,
        column=column_named(expectation.kwargs),
        severity=expectation.severity,
        passed=bool(parts) and not failed,
        observed_value=next(iter(observed.values())) if len(observed) == 1 else None,
        unexpected_count=sum(counts) if counts else None,
        unexpected_percent=percent,
        examples=tuple(dict.fromkeys(e for p in parts for e in p.examples))[:EXAMPLES_KEPT],
        error="; ".join(errors[:3]) or (None if parts else "no partition was judged"),
        partitions=partitions,
    )


def columns_read(expectations: Sequence[Expectation], table_columns: Collection[str] | None = None) -> frozenset[str]:
    """The columns a frame must hold for these expectations, those of row conditions included.

    With `table_columns`, only these are returned.
    """
    names: set[str] = set()
    for expectation in expectations:
        if expectation.type == UNEXPECTED_ROWS or expectation.type in TABLE_SHAPE:
            continue
        names |= columns_touched(expectation)
    return frozenset(names if table_columns is None else names & set(table_columns))


def columns_named(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that an expectation's own arguments name, row conditions left out."""
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if isinstance(kwargs.get(key), str)]
    listed = kwargs.get("column_list")
    if isinstance(listed, list | tuple | set | frozenset):
        names.extend(str(name) for name in listed)
    return tuple(dict.fromkeys(names))


def columns_touched(expectation: Expectation) -> frozenset[str]:
    """Every column whose values an expectation's result may show, row conditions included."""
    try:
        condition = read_condition(expectation.kwargs)
    except ConditionError:
        condition = None  # The expectation fails by it, and reads nothing.
    return frozenset(columns_named(expectation.kwargs)) | (columns_of(condition) if condition else frozenset())


def column_named(kwargs: Mapping[str, Any]) -> str | None:
    """The column an outcome is filed under; of several, joined by a comma."""
    return ", ".join(columns_named(kwargs)) or None
