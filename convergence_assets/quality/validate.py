"""A suite over the staged partitions of a run: one outcome an expectation, failed wherever there is no answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from convergence_assets.quality import aggregates, engine, gx_compat
from convergence_assets.quality.aggregates import FrameParts
from convergence_assets.quality.engine import Built, Raw
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
from convergence_assets.quality.frame_views import kinds_of
from convergence_assets.quality.prepare import declared_type_judged
from convergence_assets.quality.presentation import nothing_to_judge, partition_outcome
from convergence_assets.quality.pushdown import Batch, pushed_down
from convergence_assets.quality.queries import counted_together, judged_by_query
from convergence_assets.quality.rows import Rows, evaluate_at_once, runs_once
from convergence_assets.quality.rules import RULES, judged_by_rules

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
    and every column of `columns_read`; it is not changed. `run_query` runs BigQuery SQL in which `{batch}` is
    the same rows. `columns` are the declared table's columns, name to BigQuery type: what is expected of the
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
    only_if_exact: bool = False,
) -> tuple[CheckOutcome, ...]:
    """As `validate`, for rows that are in the warehouse.

    What SQL can count, the warehouse counts, exactly; with `only_if_exact` only where an expectation reads whole
    numbers or decimals. For the other expectations, `read_frame` gives the staged rows of the columns that they read.
    """
    by_rules = {n: expectation for n, expectation in enumerate(expectations) if expectation.type == RULES}
    outcomes = judged_by_rules(batch, by_rules, partition_column, partitions, sensitive)
    numbered = {n: expectation for n, expectation in enumerate(expectations) if n not in by_rules}
    judged = pushed_down(batch, numbered, partition_column, partitions, sensitive, only_if_exact)
    remaining = [expectation for position, expectation in numbered.items() if position not in judged]
    columns_needed = columns_read(remaining, columns)
    frame_outcomes = validate(
        read_frame(columns_needed | {partition_column}) if columns_needed else batch.empty,
        remaining,
        partition_column=partition_column,
        partitions=partitions,
        sensitive=sensitive,
        run_query=batch.run_query,
        columns=columns,
    )
    next_outcomes = iter(frame_outcomes)
    for n, e in numbered.items():
        outcomes[n] = outcome_over(e, judged[n]) if n in judged else next(next_outcomes)
    return tuple(outcomes[n] for n in range(len(expectations)))


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
            queries = [e.kwargs.get("unexpected_rows_query") for e in expectations if e.type == UNEXPECTED_ROWS]
            self.run_query = counted_together(self.run_query, [sql for sql in queries if isinstance(sql, str)])
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
            table_columns=frozenset(self.frame.columns if self.columns is None else self.columns),
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
        built: dict[int, Built] = {}
        types = kinds_of(self.frame) if self.columns is None else self.columns
        with gx_compat.great_expectations():
            for position, expectation in framed.items():
                try:
                    built[position] = engine.build(expectation, self.frame, position, types)
                except Exception as error:
                    answers[position] = self._everywhere(expectation, Raw(False, error=engine.message_of(error)))
            shape = {p: b for p, b in built.items() if framed[p].type in TABLE_SHAPE}
            if shape:
                for position, raw in engine.run(engine.shape_frame(list(self.columns or ())), shape).items():
                    answers[position] = self._everywhere(framed[position], raw)
            rest = {p: b for p, b in built.items() if p not in shape}
            return answers | (self._judged(rest) if rest else {})

    def _judged(self, built: Mapping[int, Built]) -> dict[int, Judged]:
        is_single = len(self.partitions) == 1
        rows = (
            Rows.alone(self.frame, self.partitions[0])
            if is_single
            else Rows.of(self.frame, self.partition_column, self.partitions)
        )
        per_partition = rows.count(rows.frame.index)
        counts = {key: int(per_partition[position]) for position, key in enumerate(rows.keys)}
        answers: dict[int, Judged] = {}
        for position, expectation in built.items():
            if aggregates.can_aggregate(expectation.expectation, expectation.types):
                column = expectation.expectation.kwargs.get("column")
                parts = FrameParts(rows, column, expectation.types.get(str(column)), expectation.row_mask(rows.frame))
                answers[position] = aggregates.outcomes_over(rows.keys, counts, parts.part, expectation, self.sensitive)
            elif runs_once(expectation) and not is_single:
                # Where a metric raises, it may do so in one partition alone.
                with suppress(Exception):
                    answers[position] = evaluate_at_once(rows, expectation, self.sensitive)
        remaining = {p: b for p, b in built.items() if p not in answers}
        if not remaining:
            return answers
        slices = (
            [(self.partitions[0], self.frame)]
            if is_single
            else rows.slices(columns_read([expectation.expectation for expectation in remaining.values()]))
        )
        return answers | self._slices(remaining, slices)

    def _slices(self, built: Mapping[int, Built], slices: Iterable[tuple[str, "pd.DataFrame"]]) -> dict[int, Judged]:
        answers: dict[int, Judged] = {position: {} for position in built}
        for key, part in slices:
            vacuous = [p for p in built if not len(part) and columns_named(built[p].expectation.kwargs)]
            to_judge = {p: b for p, b in built.items() if p not in vacuous}
            for position in vacuous:
                answers[position][key] = nothing_to_judge(built[position].gx)
            exact = [p for p, expectation in to_judge.items() if expectation.reads_exact and runs_once(expectation)]
            for position in exact:
                answers[position][key] = self._exactly(to_judge.pop(position), part, key)
            for position, raw in engine.run(part, to_judge).items():
                answers[position][key] = partition_outcome(built[position].expectation, raw, self.sensitive)
        return answers

    def _exactly(self, built: Built, frame: "pd.DataFrame", key: str) -> PartitionOutcome:
        """One partition's outcome by exact arguments, which GX makes doubles of where it runs a whole suite."""
        try:
            return evaluate_at_once(Rows.alone(frame, key), built, self.sensitive)[key]
        except Exception as error:
            return partition_outcome(built.expectation, Raw(False, error=engine.message_of(error)), self.sensitive)

    def _everywhere(self, expectation: Expectation, raw: Raw) -> Judged:
        return {key: partition_outcome(expectation, raw, self.sensitive) for key in self.partitions}
