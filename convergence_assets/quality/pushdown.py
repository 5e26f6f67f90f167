"""Suites judged in the warehouse: it counts, and Great Expectations judges the counts.

GX's own SQL engine runs a query for each failed expectation, does not know which partition a row belongs to, and
reads regular expressions and missing values otherwise than on a frame. Here one query counts for all expectations and
partitions at once, and a second one, where something was unexpected, fetches examples.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import aggregates, engine, filters, gx_compat
from convergence_assets.quality.aggregates import Part
from convergence_assets.quality.conditions import RowCondition, row_condition
from convergence_assets.quality.engine import Built, Raw
from convergence_assets.quality.exact import EXACT
from convergence_assets.quality.expectations import (
    EXAMPLES_KEPT,
    TABLE_SHAPE,
    UNEXPECTED_ROWS,
    Expectation,
    PartitionOutcome,
    columns_touched,
)
from convergence_assets.quality.presentation import partition_outcome
from convergence_assets.quality.rows import Counted, outcomes_of_counts, unexpected_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Judged = dict[str, PartitionOutcome]
_PREFIX = "convergence_"  # so that no alias hides a column


@dataclass(frozen=True)
class Batch:
    """Staged rows that stay in the warehouse.

    `run_query` runs BigQuery SQL over them as `{batch}`; `typed` makes a frame of a result that holds
    columns of the table; `empty` is a frame of all columns without rows; `types` are the scalar columns' types.
    """

    run_query: Callable[[str], "pa.Table"]
    typed: Callable[["pa.Table"], "pd.DataFrame"]
    empty: "pd.DataFrame"
    types: Mapping[str, str]
    run_shipped: Callable[[str], "pa.Table"] | None = None
    """As `run_query`, for SQL that ships with this package: it names no other table, and nothing is looked up in it."""


def pushed_down(
    batch: Batch,
    expectations: Mapping[int, Expectation],
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str],
    only_if_exact: bool = False,
) -> dict[int, Judged]:
    """The outcomes of those expectations that SQL can count, by position; two queries at most.

    With `only_if_exact`, no query is run where no expectation reads INT64, NUMERIC or BIGNUMERIC; where one does, the
    query that counts for it counts for the others too. An expectation that is not in the answer needs a frame. Where a
    query fails, its expectations have failed; an error that may pass (`retryable`) is raised, for the step to be
    retried.
    """
    countable = {
        p: expectation
        for p, expectation in expectations.items()
        if expectation.type not in TABLE_SHAPE and expectation.type != UNEXPECTED_ROWS
    }
    types_read = {batch.types.get(name) for expectation in countable.values() for name in columns_touched(expectation)}
    if not countable or (only_if_exact and not types_read & EXACT):
        return {}
    with gx_compat.great_expectations():
        plan = _Plan(batch, countable, partition_column, tuple(partitions))
        return plan.judged(sensitive)


class _Plan:
    """The expectations that SQL can count: all in `built`, those about single rows also in `conditions`."""

    def __init__(
        self, batch: Batch, expectations: Mapping[int, Expectation], partition_column: str, partitions: tuple[str, ...]
    ) -> None:
        self.batch = batch
        self.partition_column = partition_column
        self.partitions = partitions
        self.built: dict[int, Built] = {}
        self.conditions: dict[int, RowCondition] = {}
        self.parts: dict[int, dict[str, Part]] = {}
        for position, expectation in expectations.items():
            self._plan(position, expectation)

    def _plan(self, position: int, expectation: Expectation) -> None:
        if engine.missing_columns(expectation, self.batch.empty):
            return
        types = self.batch.types
        try:
            built = engine.build(expectation, self.batch.empty, position, types)
            condition = row_condition(expectation, built.gx, types)
        except Exception:
            return  # Judging it on the frame shows why.
        where = None if built.condition is None else filters.sql(built.condition, types)
        if built.condition is not None and where is None:
            return
        if aggregates.can_aggregate(expectation, types):
            if aggregates.wholly_in_sql(expectation, types):
                self.built[position], self.parts[position] = built, aggregates.parts_of(expectation, where)
        elif condition is not None:
            self.built[position], self.conditions[position] = built, condition.where(where)

    def judged(self, sensitive: frozenset[str]) -> dict[int, Judged]:
        return self._judged(sorted(self.built), sensitive) if self.built else {}

    def _judged(self, positions: Sequence[int], sensitive: frozenset[str]) -> dict[int, Judged]:
        try:
            return self._answers(positions, sensitive)
        except Exception as error:
            if getattr(error, "retryable", False):
                raise
            if len(positions) == 1:
                return {p: self._failed(self.built[p], error, sensitive) for p in positions}
        # One expectation's sum may be beyond its type; the others are queried without it.
        half = len(positions) // 2
        return self._judged(positions[:half], sensitive) | self._judged(positions[half:], sensitive)

    def _failed(self, built: Built, error: Exception, sensitive: frozenset[str]) -> Judged:
        failed = partition_outcome(built.expectation, Raw(False, error=engine.message_of(error)), sensitive)
        return dict.fromkeys(self.partitions, failed)

    def _answers(self, positions: Sequence[int], sensitive: frozenset[str]) -> dict[int, Judged]:
        tables = [position for position in positions if position in self.parts]
        conditions = {p: self.conditions[p] for p in positions if p in self.conditions}
        needed_parts = list(dict.fromkeys(part for p in tables for part in self.parts[p].values()))
        groups = self.batch.run_query(self._counting(conditions, needed_parts)).to_pylist()
        keyed = [(self._place(group[f"{_PREFIX}partition"]), group) for group in groups]
        answers = self._aggregated(keyed, tables, needed_parts, sensitive)
        counted = {position: self._counted(keyed, position) for position in conditions}
        shown = self._examples({p: counts for p, counts in counted.items() if sum(counts.unexpected)})
        no_rows = gx_compat.engine_over(self.batch.empty)
        for p, counts in counted.items():
            answers[p] = outcomes_of_counts(
                self.built[p], no_rows, self.partitions, counts, shown.get(p, {}), sensitive
            )
        return answers

    def _counting(self, conditions: Mapping[int, RowCondition], needed_parts: Sequence[Part]) -> str:
        selected = [f"`{self.partition_column}` AS {_PREFIX}partition", f"COUNT(*) AS {_PREFIX}rows"]
        for position, condition in conditions.items():
            if condition.row_filter != "TRUE":
                selected.append(f"COUNTIF({condition.row_filter}) AS {_PREFIX}kept_{position}")
            selected.append(f"COUNTIF({condition.considered}) AS {_PREFIX}judged_{position}")
            selected.append(f"COUNTIF({self._unexpected(position)}) AS {_PREFIX}unexpected_{position}")
        selected += [
            f"{part.sql(self.batch.types.get(part.column))} AS {_PREFIX}m_{i}" for i, part in enumerate(needed_parts)
        ]
        source = self._source(conditions, needed_parts)
        return f"SELECT {', '.join(selected)}\nFROM {source}\nGROUP BY `{self.partition_column}`"

    def _source(self, positions: Collection[int], needed_parts: Sequence[Part] = ()) -> str:
        """The batch, with how often a value occurs in its partition for what may not repeat."""
        repeats = {p: self.conditions[p] for p in positions if self.conditions[p].repeats}
        if not repeats:
            return "{batch}"
        windows = [
            f"COUNTIF({condition.considered}) OVER (PARTITION BY `{self.partition_column}`, "
            f"{', '.join(f'`{name}`' for name in condition.repeats)}) AS {_PREFIX}times_{position}"
            for position, condition in repeats.items()
        ]
        read = [p for p in self.built if p in positions or any(part in needed_parts for part in self._parts(p))]
        named = dict.fromkeys([
            self.partition_column,
            *(name for p in read for name in sorted(columns_touched(self.built[p].expectation))),
        ])  # fmt: skip
        return f"(SELECT {', '.join([*(f'`{name}`' for name in named), *windows])} FROM {{batch}})"

    def _parts(self, position: int) -> Collection[Part]:
        return self.parts.get(position, {}).values()

    def _unexpected(self, position: int) -> str:
        condition = self.conditions[position]
        if not condition.repeats:
            return condition.unexpected
        return f"({condition.considered} AND {_PREFIX}times_{position} > 1)"

    def _place(self, value: object) -> int:
        """The position of a partition among this run's, one past the last for a date of no partition."""
        key = aggregates.partition_key(value)
        return self.partitions.index(key) if key in self.partitions else len(self.partitions)

    def _counted(self, keyed: Sequence[tuple[int, Mapping[str, Any]]], position: int) -> Counted:
        rows, judged, unexpected = ([0] * (len(self.partitions) + 1) for _ in range(3))
        for place, group in keyed:
            rows[place] += group.get(f"{_PREFIX}kept_{position}", group[f"{_PREFIX}rows"])
            judged[place] += group[f"{_PREFIX}judged_{position}"]
            unexpected[place] += group[f"{_PREFIX}unexpected_{position}"]
        return Counted(rows, judged, unexpected)

    def _aggregated(
        self,
        keyed: Sequence[tuple[int, Mapping[str, Any]]],
        positions: Sequence[int],
        needed_parts: Sequence[Part],
        sensitive: frozenset[str],
    ) -> dict[int, Judged]:
        inside = {self.partitions[place]: group for place, group in keyed if place < len(self.partitions)}
        counts = {key: int(inside[key][f"{_PREFIX}rows"]) if key in inside else 0 for key in self.partitions}
        columns = {part: f"{_PREFIX}m_{i}" for i, part in enumerate(needed_parts)}
        nothing = {"ROWS": 0, "COUNT": 0, "DISTINCT": 0}
        answers: dict[int, Judged] = {}
        for position in positions:
            parts = self.parts[position]

            def part(key: str, function: str, parts: Mapping[str, Part] = parts) -> Any:
                return inside[key][columns[parts[function]]] if key in inside else nothing.get(function)

            answers[position] = aggregates.outcomes_over(self.partitions, counts, part, self.built[position], sensitive)
        return answers

    def _examples(self, failed: Mapping[int, Counted]) -> dict[int, dict[int, list[object]]]:
        """By expectation and place of the partition, the first unexpected values that differ, in their order."""
        shown: dict[int, dict[int, list[object]]] = {
            position: {place: [None] for place, unexpected in enumerate(counts.unexpected) if unexpected}
            for position, counts in failed.items()
            if gx_compat.map_metric(self.built[position].gx) == "column_values.nonnull"
        }
        to_list = [position for position in failed if position not in shown]
        if not to_list:
            return shown
        listed = self.batch.run_query(self._listing(to_list))
        names = [name for name in listed.column_names if not name.startswith(_PREFIX)]
        frame = self.batch.typed(listed.select(names))
        places = [self._place(value) for value in listed.column(f"{_PREFIX}partition").to_pylist()]
        for position in to_list:
            rows_of: dict[int, list[int]] = {}
            flags = listed.column(f"{_PREFIX}x_{position}").to_pylist()
            for row, (place, flagged) in enumerate(zip(places, flags, strict=True)):
                if flagged:
                    rows_of.setdefault(place, []).append(row)
            built = self.built[position]
            shown[position] = {place: unexpected_values(frame, built, rows) for place, rows in rows_of.items()}
        return shown

    def _listing(self, positions: Sequence[int]) -> str:
        columns = dict.fromkeys(name for p in positions for name in self.conditions[p].columns)
        flags = [f"{self._unexpected(p)} AS {_PREFIX}u_{p}" for p in positions]
        ranks, listed = [], []
        for p in positions:
            flag, values = f"{_PREFIX}u_{p}", ", ".join(f"`{name}`" for name in self.conditions[p].columns)
            window = f"PARTITION BY {_PREFIX}partition, {flag}"
            ranks.append(f"DENSE_RANK() OVER ({window} ORDER BY {values}) AS {_PREFIX}d_{p}")
            ranks.append(f"ROW_NUMBER() OVER ({window}, {values} ORDER BY {_PREFIX}partition) AS {_PREFIX}n_{p}")
            listed.append(f"({flag} AND {_PREFIX}d_{p} <= {EXAMPLES_KEPT} AND {_PREFIX}n_{p} = 1)")
        plain = ", ".join(f"`{name}`" for name in columns)
        marks = [f"{condition} AS {_PREFIX}x_{p}" for p, condition in zip(positions, listed, strict=True)]
        return (
            f"SELECT {_PREFIX}partition, {plain}, {', '.join(marks)}\nFROM (\n"
            f"SELECT *, {', '.join(ranks)}\nFROM (\n"
            f"SELECT `{self.partition_column}` AS {_PREFIX}partition, {plain}, {', '.join(flags)}\n"
            f"FROM {self._source(positions)}\n) AS flagged\n) AS ranked\nWHERE {' OR '.join(listed)}"
        )
