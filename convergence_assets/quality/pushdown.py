"""A suite judged where the rows are: the warehouse counts, Great Expectations judges the counts.

GX's own SQL engine asks a query for each failed expectation, cannot say which partition a row belongs to, and reads
regular expressions and missing values otherwise than on a frame. Here one query counts for all expectations and
partitions at once, and a second one, where something was unexpected, fetches examples.
"""

from collections.abc import Callable, Mapping, Sequence
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
    columns_named,
)
from convergence_assets.quality.presentation import partition_outcome
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
        found = _Found(batch, partition_column, tuple(partitions))
        for position, expectation in expectations.items():
            if expectation.type not in TABLE_SHAPE and expectation.type != UNEXPECTED_ROWS:
                found.plan(position, expectation)
        return found.judged(sensitive)


class _Found:
    def __init__(self, batch: Batch, partition_column: str, partitions: tuple[str, ...]) -> None:
        self.batch = batch
        self.partition_column = partition_column
        self.partitions = partitions
        self.built: dict[int, Any] = {}
        self.conditions: dict[int, RowCondition] = {}
        self.tables: dict[int, Expectation] = {}
        self.rowwise: dict[int, Expectation] = {}
        self.in_frame = frozenset(
            n for n in batch.empty.columns if batch.types.get(n) in (None, *aggregates.UNLIKE_SQL)
        )

    def plan(self, position: int, expectation: Expectation) -> None:
        if engine.missing_columns(expectation, self.batch.empty):
            return
        try:
            built = engine.build(expectation, self.batch.empty, position)
        except Exception:
            return  # The frame's way says why.
        if aggregates.can_aggregate(expectation, self.batch.empty):
            if aggregates.wholly_in_sql(expectation, self.in_frame):
                self.tables[position], self.built[position] = expectation, built
        elif (condition := row_condition(expectation, built, self.batch.types)) is not None:
            self.rowwise[position], self.built[position] = expectation, built
            self.conditions[position] = condition

    def judged(self, sensitive: frozenset[str]) -> dict[int, Judged]:
        if not self.built:
            return {}
        wanted = aggregates.wanted_of(list(self.tables.values()), self.in_frame)
        groups = self.batch.run_query(self._counting(wanted)).to_pylist()
        keyed = [(self._place(group[f"{_PREFIX}partition"]), group) for group in groups]
        answers = {position: self._aggregated(keyed, wanted, position, sensitive) for position in self.tables}
        counted = {position: self._counted(keyed, position) for position in self.rowwise}
        shown = self._examples({p: counts for p, counts in counted.items() if sum(counts.unexpected)})
        pandas = _pandas_engine(self.batch.empty)
        for position, expectation in self.rowwise.items():
            built, counts = self.built[position], counted[position]
            examples = shown.get(position, {})
            answers[position] = judged_counts(expectation, built, pandas, self.partitions, counts, examples, sensitive)
        return answers

    def _counting(self, wanted: Sequence[tuple[str, str]]) -> str:
        selected = [f"`{self.partition_column}` AS {_PREFIX}partition", f"COUNT(*) AS {_PREFIX}rows"]
        for position in self.rowwise:
            selected.append(f"COUNTIF({self.conditions[position].considered}) AS {_PREFIX}judged_{position}")
            selected.append(f"COUNTIF({self._unexpected(position)}) AS {_PREFIX}unexpected_{position}")
        selected += [f"{aggregates.expression(*one)} AS {_PREFIX}m_{i}" for i, one in enumerate(wanted)]
        columns = [column for column, _ in wanted]
        source = self._source(self.rowwise, columns)
        return f"SELECT {', '.join(selected)}\nFROM {source}\nGROUP BY `{self.partition_column}`"

    def _source(self, positions: Sequence[int] | Mapping[int, Any], columns: Sequence[str]) -> str:
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

    def _aggregated(
        self,
        keyed: Sequence[tuple[int, Mapping[str, Any]]],
        wanted: Sequence[tuple[str, str]],
        position: int,
        sensitive: frozenset[str],
    ) -> Judged:
        mine = {self.partitions[place]: group for place, group in keyed if place < len(self.partitions)}
        counts = {key: int(mine[key][f"{_PREFIX}rows"]) if key in mine else 0 for key in self.partitions}
        queried = {key: {one: g[f"{_PREFIX}m_{i}"] for i, one in enumerate(wanted)} for key, g in mine.items()}
        rows = Rows.of(self.batch.empty, self.partition_column, self.partitions)
        found = aggregates.Aggregates(rows, counts, queried)
        expectation, built = self.tables[position], self.built[position]
        judged: Judged = {}
        for key in self.partitions:
            if counts[key] == 0 and columns_named(expectation.kwargs):
                judged[key] = PartitionOutcome(passed=True)
            else:
                raw = aggregates.judged(found, key, expectation, built)
                judged[key] = partition_outcome(expectation, raw, sensitive)
        return judged

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


def _pandas_engine(frame: "pd.DataFrame") -> Any:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    return PandasExecutionEngine(batch_data_dict={"partition": frame})
