"""Row-level expectations over a range of partitions in one run, each partition judged as if it were alone.

Great Expectations computes which rows are unexpected, once; the partition column gives their partition; and the
expectation itself judges each partition's counts, so that `mostly` means what it means in GX.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, localcontext
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import gx_compat
from convergence_assets.quality.engine import EXAMPLES_READ, RESULT_FORMAT, Built, Raw
from convergence_assets.quality.expectations import PartitionOutcome, columns_named
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
    def alone(cls, frame: "pd.DataFrame", key: str) -> "Rows":
        """All rows of the frame as those of one partition."""
        import numpy as np
        import pandas as pd

        return cls(frame.set_axis(pd.RangeIndex(len(frame)), axis=0), np.zeros(len(frame), dtype=np.intp), [key])

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
            in_partition = self.codes == position
            part = {name: column[in_partition].array for name, column in self.frame.items() if name in columns}
            yield key, pd.DataFrame(part, index=pd.RangeIndex(int(in_partition.sum())), copy=False)


def runs_once(built: Built) -> bool:
    """Whether an expectation can be judged over a whole range at once."""
    return gx_compat.map_metric(built.gx) in ALONE | WITHIN_PARTITION


def evaluate_at_once(rows: Rows, built: Built, sensitive: frozenset[str]) -> dict[str, PartitionOutcome]:
    """Every partition's outcome. Raises what a metric raises: then each partition has to be judged by itself.

    Unexpected rows of no partition fail all of them, since their partition is unknown.
    """
    frame, mask = built.view(rows.frame), built.row_mask(rows.frame)
    engine = gx_compat.engine_over(frame if mask is None else frame[mask])
    # Python's own context adds with 28 digits and raises where a missing value is compared.
    with localcontext(Context(prec=200, traps=[])):
        total, considered, unexpected = _conditions(engine, built, rows)
    counted = Counted(rows.count(total), rows.count(considered), rows.count(unexpected))
    listed = _first_of_each(rows, unexpected)
    shown = {position: unexpected_values(rows.frame, built, positions) for position, positions in listed.items()}
    return outcomes_of_counts(built, engine, rows.keys, counted, shown, sensitive)


@dataclass(frozen=True)
class Counted:
    """Rows of each partition, of these those judged and those unexpected; the last number counts rows of none."""

    rows: "Sequence[int] | np.ndarray[Any, Any]"
    considered: "Sequence[int] | np.ndarray[Any, Any]"
    unexpected: "Sequence[int] | np.ndarray[Any, Any]"


def outcomes_of_counts(
    built: Built,
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
        metric = gx_compat.map_metric(built.gx)
        total, judged, bad = (int(n[position]) for n in (counted.rows, counted.considered, counted.unexpected))
        counts = {
            "table.row_count": total,
            "column_values.nonnull.unexpected_count": total - judged,
            f"{metric}.filtered_row_count": judged,
            f"{metric}.unexpected_count": bad,
        }
        answer = gx_compat.judged(built.gx, counts, RESULT_FORMAT, engine)
        raw = Raw(bool(answer["success"]), answer.get("result", {}))
        values = shown.get(position, [])
        if position < len(keys):
            outcomes[keys[position]] = partition_outcome(built.expectation, raw, sensitive, values)
        elif not raw.success:
            stray = partition_outcome(built.expectation, raw, sensitive, values)
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


def _conditions(engine: Any, built: Built, rows: Rows) -> tuple["pd.Index[Any]", "pd.Index[Any]", "pd.Index[Any]"]:
    """The rows a row condition leaves, of these the ones that are judged, and of these the unexpected."""
    import numpy as np
    import pandas as pd

    metric = gx_compat.map_metric(built.gx)
    total, considered, domain = gx_compat.records(engine, built.gx, RESULT_FORMAT)
    if "column" in domain and metric not in ("column_values.nonnull", "column_values.null"):
        considered = considered[considered[domain["column"]].notna()]
    if metric in WITHIN_PARTITION:
        key = considered[[domain["column"]] if "column" in domain else list(domain["column_list"])]
        key = key.assign(**{"partition of the row": rows.codes[considered.index.to_numpy()]})
        return total.index, considered.index, considered.index[key.duplicated(keep=False).to_numpy()]
    condition = gx_compat.unexpected(engine, built.gx, RESULT_FORMAT, built.exact)
    index = condition.index if isinstance(condition, pd.Series) else considered.index
    return total.index, considered.index, index[np.asarray(condition, dtype=bool)]


def _first_of_each(rows: Rows, unexpected: "pd.Index[Any]") -> Mapping[int, "np.ndarray[Any, Any]"]:
    import numpy as np

    positions = unexpected.to_numpy()
    codes = rows.codes[positions]
    return {int(code): positions[codes == code][:EXAMPLES_READ] for code in np.unique(codes)}


def unexpected_values(frame: "pd.DataFrame", built: Built, positions: Any) -> list[object]:
    """The values (of several columns: the rows as mappings) that a row-level expectation judges, at these positions."""
    kwargs = built.expectation.kwargs
    if "column" in kwargs:
        return list(frame[kwargs["column"]].iloc[positions])
    names = [kwargs["column_A"], kwargs["column_B"]] if "column_A" in kwargs else list(columns_named(kwargs))
    return [dict(zip(names, row, strict=True)) for row in frame[names].iloc[positions].itertuples(index=False)]
