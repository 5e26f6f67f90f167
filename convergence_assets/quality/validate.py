"""A suite over the staged partitions of a run: one outcome an expectation, failed wherever there is no answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import aggregates, engine
from convergence_assets.quality.engine import Raw
from convergence_assets.quality.expectations import (
    TABLE_SHAPE,
    UNEXPECTED_ROWS,
    CheckOutcome,
    Expectation,
    PartitionOutcome,
    columns_named,
    columns_read,
    outcome_over,
)
from convergence_assets.quality.prepare import declared_type_judged
from convergence_assets.quality.presentation import nothing_to_judge, partition_outcome
from convergence_assets.quality.pushdown import Batch, pushed_down
from convergence_assets.quality.queries import counted_together, judged_by_query
from convergence_assets.quality.rows import Rows, judged_once, runs_once

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

RunQuery = Callable[[str], "pa.Table"]
Judged = dict[str, PartitionOutcome]

_ELSEWHERE = frozenset({"expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table"})


def validate(
    frame: "pd.DataFrame",
    expectations: Sequence[Expectation],
    *,
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str] = frozenset(),
    run_query: RunQuery | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[CheckOutcome, ...]:
    """One outcome for each expectation, in their order; an expectation without an answer has failed.

    `frame` holds the staged rows of `partitions` (ISO dates), typed by `frame_from_arrow`, with the partition column
    and every column of `columns_read`; it is not changed. `run_query` runs BigQuery SQL in which `{batch}` stands
    for the same rows. `columns` are the declared table's columns, name to BigQuery type: what is expected of the
    table's shape is judged by them. Values of `sensitive` columns appear in no outcome.

    A partition is judged in a range as it would be alone. In a partition without rows, what is expected of values
    holds: emptiness is a check of its own.
    """
    return _Validation(frame, partition_column, tuple(partitions), sensitive, run_query, columns).outcomes(expectations)


def validate_in_warehouse(
    batch: Batch,
    read_frame: Callable[[frozenset[str]], "pd.DataFrame"],
    expectations: Sequence[Expectation],
    *,
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str] = frozenset(),
    columns: Mapping[str, str],
) -> tuple[CheckOutcome, ...]:
    """What `validate` says, without a frame of all rows: what SQL can count, the warehouse counts.

    For the other expectations, `read_frame` gives the staged rows of the columns that they read.
    """
    numbered = dict(enumerate(expectations))
    judged = pushed_down(batch, numbered, partition_column, partitions, sensitive)
    left = [expectation for position, expectation in numbered.items() if position not in judged]
    read = columns_read(left, columns)
    rest = validate(
        read_frame(read | {partition_column}) if read else batch.empty,
        left,
        partition_column=partition_column,
        partitions=partitions,
        sensitive=sensitive,
        run_query=batch.run_query,
        columns=columns,
    )
    framed = iter(rest)
    return tuple(outcome_over(e, judged[n]) if n in judged else next(framed) for n, e in numbered.items())


class _Validation:
    def __init__(
        self,
        frame: "pd.DataFrame",
        partition_column: str,
        partitions: tuple[str, ...],
        sensitive: frozenset[str],
        run_query: RunQuery | None,
        columns: Mapping[str, str] | None,
    ) -> None:
        self.frame = frame
        self.partition_column = partition_column
        self.partitions = partitions
        self.sensitive = sensitive
        self.run_query = run_query
        self.columns = columns

    def outcomes(self, expectations: Sequence[Expectation]) -> tuple[CheckOutcome, ...]:
        answers: dict[int, Judged] = {}
        framed: dict[int, Expectation] = {}
        if self.run_query is not None:
            asked = [e.kwargs.get("unexpected_rows_query") for e in expectations if e.type == UNEXPECTED_ROWS]
            self.run_query = counted_together(self.run_query, [sql for sql in asked if isinstance(sql, str)])
        for position, expectation in enumerate(expectations):
            if expectation.type == UNEXPECTED_ROWS:
                answers[position] = self._by_query(expectation)
            elif (refused := self._refused(expectation)) is not None:
                answers[position] = self._everywhere(expectation, refused)
            else:
                framed[position] = expectation
        if framed:
            answers |= self._by_frame(framed)
        no_answer = Raw(False, error="there is no result")
        return tuple(
            outcome_over(e, answers.get(position) or self._everywhere(e, no_answer))
            for position, e in enumerate(expectations)
        )

    def _by_query(self, expectation: Expectation) -> Judged:
        return judged_by_query(
            expectation,
            partition_column=self.partition_column,
            partitions=self.partitions,
            sensitive=self.sensitive,
            known=frozenset(self.frame.columns if self.columns is None else self.columns),
            run_query=self.run_query,
        )

    def _refused(self, expectation: Expectation) -> Raw | None:
        if expectation.type in _ELSEWHERE:
            text = f"{expectation.type} is not run over staged partitions; write an {UNEXPECTED_ROWS} instead"
            return Raw(False, error=text)
        if expectation.type in TABLE_SHAPE:
            return None if self.columns is not None else Raw(False, error="the table's declared columns are not known")
        typed = declared_type_judged(expectation, self.columns or {})
        if typed is not None:
            return Raw(typed[0], {"observed_value": typed[1]})
        missing = engine.missing_columns(expectation, self.frame)
        if missing:
            return Raw(False, error=f"there is no column {', '.join(map(repr, missing))} in the table")
        return None

    def _by_frame(self, framed: Mapping[int, Expectation]) -> dict[int, Judged]:
        answers: dict[int, Judged] = {}
        built: dict[int, Any] = {}
        with engine.great_expectations():
            for position, expectation in framed.items():
                try:
                    built[position] = engine.build(expectation, self.frame, position)
                except Exception as error:
                    answers[position] = self._everywhere(expectation, Raw(False, error=engine.said(error)))
            shape = {p: b for p, b in built.items() if framed[p].type in TABLE_SHAPE}
            if shape:
                shaped = engine.shape_frame(list(self.columns or ()))
                for position, raw in engine.run(shaped, shape, framed).items():
                    answers[position] = self._everywhere(framed[position], raw)
            rest = {p: b for p, b in built.items() if p not in shape}
            if len(self.partitions) == 1:
                return answers | self._slices(framed, rest, [(self.partitions[0], self.frame)])
        return answers | self._range(framed, rest)

    def _range(self, framed: Mapping[int, Expectation], built: dict[int, Any]) -> dict[int, Judged]:
        rows = Rows.of(self.frame, self.partition_column, self.partitions)
        by_sql = [p for p in built if aggregates.can_aggregate(framed[p], self.frame)]
        found = self._aggregated(rows, [framed[p] for p in by_sql])
        answers: dict[int, Judged] = {}
        with engine.great_expectations():
            for position in by_sql:
                answers[position] = aggregates.judged_over(found, framed[position], built[position], self.sensitive)
            for position, expectation in built.items():
                if position not in answers and runs_once(expectation):
                    judged = judged_once(rows, framed[position], expectation, self.sensitive)
                    if judged is not None:
                        answers[position] = judged
            left = {p: b for p, b in built.items() if p not in answers}
            if left:
                answers |= self._slices(framed, left, rows.slices(columns_read([framed[p] for p in left])))
        return answers

    def _aggregated(self, rows: Rows, expectations: Sequence[Expectation]) -> aggregates.Aggregates:
        if self.columns is None:
            in_frame = frozenset(str(name) for name, column in self.frame.items() if column.dtype == "float64")
        else:
            in_frame = frozenset(name for name, type_ in self.columns.items() if type_ in aggregates.UNLIKE_SQL)
        return aggregates.aggregated(rows, expectations, self.partition_column, in_frame, self.run_query)

    def _slices(
        self, framed: Mapping[int, Expectation], built: Mapping[int, Any], slices: Iterable[tuple[str, "pd.DataFrame"]]
    ) -> dict[int, Judged]:
        answers: dict[int, Judged] = {position: {} for position in built}
        for key, part in slices:
            vacuous = [p for p in built if not len(part) and columns_named(framed[p].kwargs)]
            asked = {p: b for p, b in built.items() if p not in vacuous}
            for position in vacuous:
                answers[position][key] = nothing_to_judge(built[position])
            for position, raw in engine.run(part, asked, framed).items():
                answers[position][key] = partition_outcome(framed[position], raw, self.sensitive)
        return answers

    def _everywhere(self, expectation: Expectation, raw: Raw) -> Judged:
        return {key: partition_outcome(expectation, raw, self.sensitive) for key in self.partitions}
