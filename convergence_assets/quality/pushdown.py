"""A suite judged where the rows are: the warehouse counts, Great Expectations judges the counts.

GX's own SQL engine asks a query for each failed expectation, cannot say which partition a row belongs to, and reads
regular expressions and missing values otherwise than on a frame. Here one query counts for all expectations and
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
from convergence_assets.quality.rows import Counted, judged_counts, unexpected_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Judged = dict[str, PartitionOutcome]
_PREFIX = "convergence_"  # so that no alias hides a column


@dataclass(frozen=True)
class Batch:
    """Staged rows that stay in the warehouse.

    `run_query` runs BigQuery SQL in which `{batch}` stands for them; `typed` makes a frame of a result that holds
    columns of the table; `empty` is a frame of all columns without rows; `types` are the scalar columns' types.
    """

    run_query: Callable[[str], "pa.Table"]
    typed: Callable[["pa.Table"], "pd.DataFrame"]
    empty: "pd.DataFrame"
    types: Mapping[str, str]


def pushed_down(
    batch: Batch,
    expectations: Mapping[int, Expectation],
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str],
    only_if_exact: bool = False,
) -> dict[int, Judged]:
    """The outcomes of those expectations that SQL can count, by position; two queries at most.

    With `only_if_exact`, no query is asked where no expectation reads INT64, NUMERIC or BIGNUMERIC; where one does, the
    query that counts for it counts for the others too. An expectation that is not in the answer needs a frame. Where a
    query fails, what it was to answer has failed; an error that may pass (`retryable`) is raised, for the step to be
    tried again.
    """
    asked = {p: one for p, one in expectations.items() if one.type not in TABLE_SHAPE and one.type != UNEXPECTED_ROWS}
    read = {batch.types.get(name) for one in asked.values() for name in columns_touched(one)}
    if not asked or (only_if_exact and not read & EXACT):
        return {}
    with gx_compat.great_expectations():
        planned = _Planned(batch, asked, partition_column, tuple(partitions))
        return planned.judged(sensitive)


class _Planned:
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
            return  # The frame's way says why.
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
        # One expectation's sum may be beyond its type; the others are asked without it.
        half = len(positions) // 2
        return self._judged(positions[:half], sensitive) | self._judged(positions[half:], sensitive)

    def _failed(self, built: Built, error: Exception, sensitive: frozenset[str]) -> Judged:
        failed = partition_outcome(built.expectation, Raw(False, error=engine.said(error)), sensitive)
        return dict.fromkeys(self.partitions, failed)

    def _answers(self, positions: Sequence[int], sensitive: frozenset[str]) -> dict[int, Judged]:
        tables = [position for position in positions if position in self.parts]
        conditions = {p: self.conditions[p] for p in positions if p in self.conditions}
        asked = list(dict.fromkeys(part for p in tables for part in self.parts[p].values()))
        groups = self.batch.run_query(self._counting(conditions, asked)).to_pylist()
        keyed = [(self._place(group[f"{_PREFIX}partition"]), group) for group in groups]
        answers = self._aggregated(keyed, tables, asked, sensitive)
        counted = {position: self._counted(keyed, position) for position in conditions}
        shown = self._examples({p: counts for p, counts in counted.items() if sum(counts.unexpected)})
        no_rows = gx_compat.over(self.batch.empty)
        for p, counts in counted.items():
            answers[p] = judged_counts(self.built[p], no_rows, self.partitions, counts, shown.get(p, {}), sensitive)
        return answers

    def _counting(self, conditions: Mapping[int, RowCondition], asked: Sequence[Part]) -> str:
        selected = [f"`{self.partition_column}` AS {_PREFIX}partition", f"COUNT(*) AS {_PREFIX}rows"]
        for position, condition in conditions.items():
            if condition.kept != "TRUE":
                selected.append(f"COUNTIF({condition.kept}) AS {_PREFIX}kept_{position}")
            selected.append(f"COUNTIF({condition.considered}) AS {_PREFIX}judged_{position}")
            selected.append(f"COUNTIF({self._unexpected(position)}) AS {_PREFIX}unexpected_{position}")
        selected += [f"{one.sql(self.batch.types.get(one.column))} AS {_PREFIX}m_{i}" for i, one in enumerate(asked)]
        source = self._source(conditions, asked)
        return f"SELECT {', '.join(selected)}\nFROM {source}\nGROUP BY `{self.partition_column}`"

    def _source(self, positions: Collection[int], asked: Sequence[Part] = ()) -> str:
        """The batch, with how often a value occurs in its partition for what may not repeat."""
        repeats = {p: self.conditions[p] for p in positions if self.conditions[p].repeats}
        if not repeats:
            return "{batch}"
        windows = [
            f"COUNTIF({condition.considered}) OVER (PARTITION BY `{self.partition_column}`, "
            f"{', '.join(f'`{name}`' for name in condition.repeats)}) AS {_PREFIX}times_{position}"
            for position, condition in repeats.items()
        ]
        read = [p for p in self.built if p in positions or any(part in asked for part in self._parts(p))]
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
        asked: Sequence[Part],
        sensitive: frozenset[str],
    ) -> dict[int, Judged]:
        inside = {self.partitions[place]: group for place, group in keyed if place < len(self.partitions)}
        counts = {key: int(inside[key][f"{_PREFIX}rows"]) if key in inside else 0 for key in self.partitions}
        columns = {part: f"{_PREFIX}m_{i}" for i, part in enumerate(asked)}
        nothing = {"ROWS": 0, "COUNT": 0, "DISTINCT": 0}
        answers: dict[int, Judged] = {}
        for position in positions:
            parts = self.parts[position]

            def part(key: str, function: str, parts: Mapping[str, Part] = parts) -> Any:
                return inside[key][columns[parts[function]]] if key in inside else nothing.get(function)

            answers[position] = aggregates.judged_over(self.partitions, counts, part, self.built[position], sensitive)
        return answers

    def _examples(self, failed: Mapping[int, Counted]) -> dict[int, dict[int, list[object]]]:
        """By expectation and place of the partition, the first unexpected values that differ, in their order."""
        shown: dict[int, dict[int, list[object]]] = {
            position: {place: [None] for place, unexpected in enumerate(counts.unexpected) if unexpected}
            for position, counts in failed.items()
            if gx_compat.map_metric(self.built[position].gx) == "column_values.nonnull"
        }
        asked = [position for position in failed if position not in shown]
        if not asked:
            return shown
        listed = self.batch.run_query(self._listing(asked))
        names = [name for name in listed.column_names if not name.startswith(_PREFIX)]
        frame = self.batch.typed(listed.select(names))
        places = [self._place(value) for value in listed.column(f"{_PREFIX}partition").to_pylist()]
        for position in asked:
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
        ranks, kept = [], []
        for p in positions:
            flag, values = f"{_PREFIX}u_{p}", ", ".join(f"`{name}`" for name in self.conditions[p].columns)
            mine = f"PARTITION BY {_PREFIX}partition, {flag}"
            ranks.append(f"DENSE_RANK() OVER ({mine} ORDER BY {values}) AS {_PREFIX}d_{p}")
            ranks.append(f"ROW_NUMBER() OVER ({mine}, {values} ORDER BY {_PREFIX}partition) AS {_PREFIX}n_{p}")
            kept.append(f"({flag} AND {_PREFIX}d_{p} <= {EXAMPLES_KEPT} AND {_PREFIX}n_{p} = 1)")
        plain = ", ".join(f"`{name}`" for name in columns)
        marks = [f"{one} AS {_PREFIX}x_{p}" for p, one in zip(positions, kept, strict=True)]
        return (
            f"SELECT {_PREFIX}partition, {plain}, {', '.join(marks)}\nFROM (\n"
            f"SELECT *, {', '.join(ranks)}\nFROM (\n"
            f"SELECT `{self.partition_column}` AS {_PREFIX}partition, {plain}, {', '.join(flags)}\n"
            f"FROM {self._source(positions)}\n) AS flagged\n) AS ranked\nWHERE {' OR '.join(kept)}"
        )
