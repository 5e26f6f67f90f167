"""Row-level expectations over a range of partitions in one run, each partition judged as if it were alone.

Great Expectations computes which rows are unexpected, once; the partition column says whose they are; and the
expectation itself is asked to judge each partition's counts, so that `mostly` means what it means in GX.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence_assets.quality.engine import EXAMPLES_READ, RESULT_FORMAT, Raw, over, view
from convergence_assets.quality.expectations import Expectation, PartitionOutcome
from convergence_assets.quality.presentation import partition_outcome

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ALONE = frozenset({
    "column_values.between",
    "column_values.dateutil_parseable",
    "column_values.in_set",
    "column_values.json_parseable",
    "column_values.match_json_schema",
    "column_values.match_regex",
    "column_values.match_regex_list",
    "column_values.match_strftime_format",
    "column_values.nonnull",
    "column_values.not_in_set",
    "column_values.not_match_regex",
    "column_values.not_match_regex_list",
    "column_values.null",
    "column_values.value_length.between",
    "column_values.value_length.equals",
    "column_pair_values.a_greater_than_b",
    "column_pair_values.equal",
    "column_pair_values.in_set",
    "multicolumn_sum.equal",
    "multicolumn_values.equal",
    "select_column_values.unique.within_record",
})  # fmt: skip
"""Metrics for which a row is unexpected by itself, whatever the other rows are."""

WITHIN_PARTITION = frozenset({"column_values.unique", "compound_columns.unique"})
"""Metrics about repetition: within a range, the partition is part of the key."""


@dataclass(frozen=True)
class Rows:
    """A range's frame (its index counts rows from 0) and the position of each row's partition in `keys`.

    A row of no partition has the position `len(keys)`.
    """

    frame: "pd.DataFrame"
    codes: "np.ndarray[Any, Any]"
    keys: Sequence[str]

    @classmethod
    def of(cls, frame: "pd.DataFrame", partition_column: str, keys: Sequence[str]) -> "Rows":
        """Raises KeyError where the frame lacks the partition column."""
        import numpy as np
        import pandas as pd

        days = pd.to_datetime(pd.Series(list(keys))).to_numpy()
        column = frame[partition_column]
        if not pd.api.types.is_datetime64_any_dtype(column.dtype):
            column = pd.to_datetime(column)
        codes = pd.Index(days).get_indexer(pd.Index(column)).astype(np.intp)
        codes[codes < 0] = len(keys)
        return cls(frame.set_axis(pd.RangeIndex(len(frame)), axis=0), codes, keys)

    def count(self, index: "pd.Index[Any]") -> "np.ndarray[Any, Any]":
        """How many of these rows each partition has, the last number those of no partition."""
        import numpy as np

        return np.bincount(self.codes[index.to_numpy()], minlength=len(self.keys) + 1)

    def slices(self, columns: Collection[str]) -> Iterator[tuple[str, "pd.DataFrame"]]:
        """Each partition's own rows, of these columns, one frame at a time."""
        import pandas as pd

        for position, key in enumerate(self.keys):
            mine = self.codes == position
            part = {name: column[mine].array for name, column in self.frame.items() if name in columns}
            yield key, pd.DataFrame(part, index=pd.RangeIndex(int(mine.sum())), copy=False)


def runs_once(expectation: Any) -> bool:
    """Whether a built expectation can be judged over a whole range at once."""
    return getattr(expectation, "map_metric", None) in ALONE | WITHIN_PARTITION


def judged_once(
    rows: Rows, expectation: Expectation, built: Any, sensitive: frozenset[str]
) -> dict[str, PartitionOutcome] | None:
    """Every partition's outcome, or None where a metric raised: then each partition is to be asked by itself.

    Unexpected rows of no partition fail all of them, for it cannot be said whose they are.
    """
    frame = view(rows.frame, expectation, built)
    engine = over(frame)
    try:
        total, considered, unexpected = _conditions(engine, built, rows)
    except Exception:
        return None
    counted = Counted(rows.count(total), rows.count(considered), rows.count(unexpected))
    listed = _first_of_each(rows, unexpected)
    shown = {position: unexpected_values(frame, built, positions) for position, positions in listed.items()}
    return judged_counts(expectation, built, engine, rows.keys, counted, shown, sensitive)


@dataclass(frozen=True)
class Counted:
    """Rows of each partition, of these those judged and those unexpected; the last number counts rows of none."""

    rows: "Sequence[int] | np.ndarray[Any, Any]"
    considered: "Sequence[int] | np.ndarray[Any, Any]"
    unexpected: "Sequence[int] | np.ndarray[Any, Any]"


def judged_counts(
    expectation: Expectation,
    built: Any,
    engine: Any,
    keys: Sequence[str],
    counted: Counted,
    shown: Mapping[int, list[object]],
    sensitive: frozenset[str],
) -> dict[str, PartitionOutcome]:
    """Every partition's counts judged by the expectation itself; `shown` are unexpected values by partition position.

    Unexpected rows of no partition fail all of them.
    """
    outcomes: dict[str, PartitionOutcome] = {}
    for position in range(len(keys) + 1):
        metric = built.map_metric
        total, judged, bad = (int(n[position]) for n in (counted.rows, counted.considered, counted.unexpected))
        counts = {
            "table.row_count": total,
            "column_values.nonnull.unexpected_count": total - judged,
            f"{metric}.filtered_row_count": judged,
            f"{metric}.unexpected_count": bad,
        }
        answer = built._validate(counts, {"result_format": dict(RESULT_FORMAT)}, engine)
        raw = Raw(bool(answer["success"]), answer.get("result", {}))
        values = shown.get(position, [])
        if position < len(keys):
            outcomes[keys[position]] = partition_outcome(expectation, raw, sensitive, values)
        elif not raw.success:
            stray = partition_outcome(expectation, raw, sensitive, values)
            error = f"{bad} unexpected rows lie in no partition of this run"
            return {
                key: PartitionOutcome(
                    passed=False,
                    unexpected_count=outcome.unexpected_count,
                    unexpected_percent=outcome.unexpected_percent,
                    examples=(outcome.examples + stray.examples)[:20],
                    considered=outcome.considered,
                    error=error,
                )
                for key, outcome in outcomes.items()
            }
    return outcomes


def _conditions(engine: Any, built: Any, rows: Rows) -> tuple["pd.Index[Any]", "pd.Index[Any]", "pd.Index[Any]"]:
    """The rows a row condition leaves, of these the ones that are judged, and of these the unexpected."""
    import numpy as np
    import pandas as pd
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    metric = built.map_metric
    needed = built.get_validation_dependencies(
        execution_engine=engine, runtime_configuration={"result_format": dict(RESULT_FORMAT)}
    ).metric_configurations[f"{metric}.unexpected_count"]
    domain = dict(needed.metric_domain_kwargs)
    row_filter = {key: domain.get(key) for key in ("row_condition", "condition_parser")}
    total = engine.get_domain_records(row_filter)
    considered = engine.get_domain_records(domain)
    if "column" in domain and metric not in ("column_values.nonnull", "column_values.null"):
        considered = considered[considered[domain["column"]].notna()]
    if metric in WITHIN_PARTITION:
        key = considered[[domain["column"]] if "column" in domain else list(domain["column_list"])]
        key = key.assign(**{"partition of the row": rows.codes[considered.index.to_numpy()]})
        return total.index, considered.index, considered.index[key.duplicated(keep=False).to_numpy()]
    arguments = {key: value for key, value in needed.metric_value_kwargs.items() if key != "result_format"}
    wanted = MetricConfiguration(f"{metric}.condition", needed.metric_domain_kwargs, arguments)
    calculator = MetricsCalculator(execution_engine=engine, show_progress_bars=False)
    resolved, aborted = calculator.compute_metrics([wanted])
    if aborted or wanted.id not in resolved:
        raise LookupError(f"{metric} was not computed")
    condition = resolved[wanted.id][0]
    mask = np.asarray(condition, dtype=bool)
    index = condition.index if isinstance(condition, pd.Series) else considered.index
    return total.index, considered.index, index[mask]


def _first_of_each(rows: Rows, unexpected: "pd.Index[Any]") -> Mapping[int, "np.ndarray[Any, Any]"]:
    import numpy as np

    positions = unexpected.to_numpy()
    codes = rows.codes[positions]
    return {int(code): positions[codes == code][:EXAMPLES_READ] for code in np.unique(codes)}


def unexpected_values(frame: "pd.DataFrame", built: Any, positions: Any) -> list[object]:
    """The values (of several columns: the rows as mappings) that a row-level expectation judges, at these positions."""
    column = getattr(built, "column", None)
    if column is not None:
        return list(frame[column].iloc[positions])
    pair = getattr(built, "column_A", None)
    names = [pair, built.column_B] if pair is not None else list(built.column_list)
    return [dict(zip(names, row, strict=True)) for row in frame[names].iloc[positions].itertuples(index=False)]
