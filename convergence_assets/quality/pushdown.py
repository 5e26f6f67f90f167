"""A suite judged where the rows are: the warehouse counts, Great Expectations judges the counts.

GX's own SQL engine asks a query for each failed expectation, cannot say which partition a row belongs to, and reads
regular expressions and missing values otherwise than on a frame. Here one query counts for all expectations and
partitions at once, and a second one, where something was unexpected, fetches examples.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import aggregates, engine
from convergence_assets.quality.conditions import RowCondition, row_condition
from convergence_assets.quality.expectations import (
    EXAMPLES_KEPT,
    TABLE_SHAPE,
    UNEXPECTED_ROWS,
    Expectation,
    PartitionOutcome,
)
from convergence_assets.quality.rows import Counted, Rows, judged_counts, unexpected_values

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
) -> dict[int, Judged]:
    """The outcomes of those expectations that SQL can count, by position; two queries at most.

    An expectation that is not in the answer needs a frame. Raises what `run_query` raises.
    """
    with engine.great_expectations():
        planned = _Planned(batch, expectations, partition_column, tuple(partitions))
        return planned.judged(sensitive) if planned.built else {}


class _Planned:
    """The expectations that SQL can count: GX's objects in `built`, those about single rows also in `conditions`."""

    def __init__(
        self, batch: Batch, expectations: Mapping[int, Expectation], partition_column: str, partitions: tuple[str, ...]
    ) -> None:
        self.batch = batch
        self.expectations = expectations
        self.partition_column = partition_column
        self.partitions = partitions
        self.built: dict[int, Any] = {}
        self.conditions: dict[int, RowCondition] = {}
        self.in_frame = frozenset(
            n for n in batch.empty.columns if batch.types.get(n) in (None, *aggregates.UNLIKE_SQL)
        )
        for position, expectation in expectations.items():
            if expectation.type not in TABLE_SHAPE and expectation.type != UNEXPECTED_ROWS:
                self._plan(position, expectation)

    def _plan(self, position: int, expectation: Expectation) -> None:
        if engine.missing_columns(expectation, self.batch.empty):
            return
        try:
            built = engine.build(expectation, self.batch.empty, position)
        except Exception:
            return  # The frame's way says why.
        if aggregates.can_aggregate(expectation, self.batch.empty):
            if aggregates.wholly_in_sql(expectation, self.in_frame):
                self.built[position] = built
        elif (condition := row_condition(expectation, built, self.batch.types)) is not None:
            self.built[position], self.conditions[position] = built, condition

    def judged(self, sensitive: frozenset[str]) -> dict[int, Judged]:
        tables = [position for position in self.built if position not in self.conditions]
        wanted = aggregates.wanted_of([self.expectations[p] for p in tables], self.in_frame)
        groups = self.batch.run_query(self._counting(wanted)).to_pylist()
        keyed = [(self._place(group[f"{_PREFIX}partition"]), group) for group in groups]
        found = self._aggregates(keyed, wanted)
        answers = {p: aggregates.judged_over(found, self.expectations[p], self.built[p], sensitive) for p in tables}
        counted = {position: self._counted(keyed, position) for position in self.conditions}
        shown = self._examples({p: counts for p, counts in counted.items() if sum(counts.unexpected)})
        no_rows = engine.over(self.batch.empty)
        for p, counts in counted.items():
            answers[p] = judged_counts(
                self.expectations[p], self.built[p], no_rows, self.partitions, counts, shown.get(p, {}), sensitive
            )
        return answers

    def _counting(self, wanted: Sequence[tuple[str, str]]) -> str:
        selected = [f"`{self.partition_column}` AS {_PREFIX}partition", f"COUNT(*) AS {_PREFIX}rows"]
        for position in self.conditions:
            selected.append(f"COUNTIF({self.conditions[position].considered}) AS {_PREFIX}judged_{position}")
            selected.append(f"COUNTIF({self._unexpected(position)}) AS {_PREFIX}unexpected_{position}")
        selected += [f"{aggregates.expression(*one)} AS {_PREFIX}m_{i}" for i, one in enumerate(wanted)]
        columns = [column for column, _ in wanted]
        source = self._source(self.conditions, columns)
        return f"SELECT {', '.join(selected)}\nFROM {source}\nGROUP BY `{self.partition_column}`"

    def _source(self, positions: Collection[int], columns: Sequence[str]) -> str:
        """The batch, with how often a value occurs in its partition for what may not repeat."""
        repeats = {p: self.conditions[p] for p in positions if self.conditions[p].repeats}
        if not repeats:
            return "{batch}"
        named = dict.fromkeys([
            self.partition_column,
            *columns,
            *(column for p in positions for column in self.conditions[p].columns),
        ])  # fmt: skip
        windows = [
            f"COUNTIF({condition.considered}) OVER (PARTITION BY `{self.partition_column}`, "
            f"{', '.join(f'`{name}`' for name in condition.repeats)}) AS {_PREFIX}times_{position}"
            for position, condition in repeats.items()
        ]
        return f"(SELECT {', '.join([*(f'`{name}`' for name in named), *windows])} FROM {{batch}})"

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
            rows[place] += group[f"{_PREFIX}rows"]
            judged[place] += group[f"{_PREFIX}judged_{position}"]
            unexpected[place] += group[f"{_PREFIX}unexpected_{position}"]
        return Counted(rows, judged, unexpected)

    def _aggregates(
        self, keyed: Sequence[tuple[int, Mapping[str, Any]]], wanted: Sequence[tuple[str, str]]
    ) -> aggregates.Aggregates:
        mine = {self.partitions[place]: group for place, group in keyed if place < len(self.partitions)}
        counts = {key: int(mine[key][f"{_PREFIX}rows"]) if key in mine else 0 for key in self.partitions}
        queried = {key: {one: g[f"{_PREFIX}m_{i}"] for i, one in enumerate(wanted)} for key, g in mine.items()}
        rows = Rows.of(self.batch.empty, self.partition_column, self.partitions)
        return aggregates.Aggregates(rows, counts, queried)

    def _examples(self, failed: Mapping[int, Counted]) -> dict[int, dict[int, list[object]]]:
        """By expectation and place of the partition, the first unexpected values that differ, in their order."""
        shown: dict[int, dict[int, list[object]]] = {
            position: {place: [None] for place, unexpected in enumerate(counts.unexpected) if unexpected}
            for position, counts in failed.items()
            if self.built[position].map_metric == "column_values.nonnull"
        }
        asked = [position for position in failed if position not in shown]
        if not asked:
            return shown
        found = self.batch.run_query(self._listing(asked))
        names = [name for name in found.column_names if not name.startswith(_PREFIX)]
        frame = self.batch.typed(found.select(names))
        places = [self._place(value) for value in found.column(f"{_PREFIX}partition").to_pylist()]
        for position in asked:
            listed: dict[int, list[int]] = {}
            flags = found.column(f"{_PREFIX}x_{position}").to_pylist()
            for row, (place, flagged) in enumerate(zip(places, flags, strict=True)):
                if flagged:
                    listed.setdefault(place, []).append(row)
            shown[position] = {k: unexpected_values(frame, self.built[position], rows) for k, rows in listed.items()}
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
            f"FROM {self._source(positions, [])}\n) AS flagged\n) AS ranked\nWHERE {' OR '.join(kept)}"
        )
