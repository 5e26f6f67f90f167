"""The interface to Great Expectations: build an expectation, and run it over the whole of a frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convergence_assets.quality import filters, gx_compat
from convergence_assets.quality.exact import EXACT
from convergence_assets.quality.expectations import Expectation, columns_named
from convergence_assets.quality.frame_views import Form, form_of, view
from convergence_assets.quality.prepare import exact_arguments, prepared
from convergence_assets.row_conditions import Condition, fitted, read_condition

if TYPE_CHECKING:
    import pandas as pd

ID = "convergence_id"
EXAMPLES_READ = 200
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": EXAMPLES_READ}
"""BASIC keeps no list of unexpected rows beyond the first ones; those are read to find twenty that differ."""


@dataclass(frozen=True)
class Raw:
    """Great Expectations' result for one expectation; `error` where it raised, refused it or gave no result."""

    success: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Built:
    """An expectation as GX's own object, without the row condition, which is applied before GX sees a row."""

    expectation: Expectation
    gx: Any
    condition: Condition | None
    types: Mapping[str, str]
    exact: Mapping[str, Any]
    """The arguments that are numbers of more digits than a double has."""

    @property
    def reads_exact(self) -> bool:
        """Whether a column that it is about holds numbers that are no doubles."""
        return any(self.types.get(name) in EXACT for name in columns_named(self.expectation.kwargs))

    def view(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """A frame of its own for GX, sharing the values of `frame`: only the columns that the expectation itself
        reads, because GX copies every column of a frame several times an expectation."""
        import pandas as pd

        names = columns_named(self.expectation.kwargs)
        columns = {name: column for name, column in frame.items() if name in names or not names}
        shared = pd.DataFrame(columns, index=frame.index, copy=False)
        return view(shared, self.form, self.types)

    @property
    def form(self) -> Form:
        """The form of the frame that GX reads."""
        if not self.reads_exact:
            return "as they are"
        # Compared with a double, a decimal becomes a double, in BigQuery too.
        doubles = any(self.types.get(name) == "FLOAT64" for name in columns_named(self.expectation.kwargs))
        return "doubles" if doubles else form_of(gx_compat.type_of(self.gx))

    def row_mask(self, frame: "pd.DataFrame") -> Any:
        """Of each row whether the row condition leaves it; None where there is none."""
        return None if self.condition is None else filters.true_rows(self.condition, frame, self.types)


def build(expectation: Expectation, frame: "pd.DataFrame", position: int, types: Mapping[str, str]) -> Built:
    """Made from the serialised form, with numbers exact where the column's type is; raises whatever GX raises on bad
    arguments, and ConditionError for a row condition that is not read."""
    condition = read_condition(expectation.kwargs)
    type_, kwargs = prepared(expectation, frame)
    if type_ != expectation.type:
        not_run = ("row_condition", "condition_parser")
        gx_compat.domain_object(expectation.type, {k: v for k, v in expectation.kwargs.items() if k not in not_run})
    built = gx_compat.domain_object(type_, kwargs, {ID: position})
    exact = exact_arguments(expectation, types)
    # GX reads such numbers as doubles: a bound of 19 digits would be another one.
    fitted_condition = fitted(condition, types) if condition else None
    return Built(expectation, gx_compat.with_arguments(built, exact), fitted_condition, types, exact)


def run(frame: "pd.DataFrame", built: Mapping[int, Built]) -> dict[int, Raw]:
    """Every expectation over the whole frame, by position; each position has an answer."""
    alike: dict[tuple[Condition | None, Form, tuple[str, ...]], dict[int, Built]] = {}
    for position, one_built in built.items():
        names = columns_named(one_built.expectation.kwargs)
        alike.setdefault((one_built.condition, one_built.form, tuple(sorted(names))), {})[position] = one_built
    answers: dict[int, Raw] = {}
    for group in alike.values():
        first = next(iter(group.values()))
        try:
            mask = first.row_mask(frame)
            view_read = first.view(frame if mask is None else frame[mask])
        except Exception as error:
            answers |= dict.fromkeys(group, Raw(False, error=message_of(error)))
        else:
            answers |= _run(view_read, group)
    silent = Raw(False, error="Great Expectations gave no result")
    return {position: answers.get(position, silent) for position in built}


def _run(frame: "pd.DataFrame", built: Mapping[int, Built]) -> dict[int, Raw]:
    try:
        answers = _answers(
            gx_compat.validated(frame, [expectation.gx for expectation in built.values()], RESULT_FORMAT)
        )
    except Exception as error:
        answers = {position: Raw(False, error=message_of(error)) for position in built}
    raised = [position for position in built if position not in answers or answers[position].error]
    if raised and len(built) > 1:
        # GX fails a whole validation, or all that share a metric, for one expectation's fault.
        for position in raised:
            answers |= _run(frame, {position: built[position]})
    return answers


def _answers(results: Sequence[Any]) -> dict[int, Raw]:
    answers = {}
    for result in results:
        meta = result.expectation_config.meta if result.expectation_config else None
        if meta is not None and ID in meta:
            answers[int(meta[ID])] = _raw(result)
    return answers


def _raw(result: Any) -> Raw:
    info = result.exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    messages = [str(detail.get("exception_message")) for detail in raised if detail.get("raised_exception")]
    if messages:
        return Raw(False, error="; ".join(dict.fromkeys(messages)))
    answer = dict(result.result or {})
    says_only_success = result.expectation_config.type == "expect_column_to_exist"
    if result.success and not says_only_success and answer.keys().isdisjoint({"unexpected_count", "observed_value"}):
        return Raw(False, error="Great Expectations gave no result")
    return Raw(bool(result.success), answer)


def message_of(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {error}"


def shape_frame(declared: Sequence[str]) -> "pd.DataFrame":
    """A frame of the declared columns without rows."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype=object) for name in declared})


def missing_columns(expectation: Expectation, frame: "pd.DataFrame") -> tuple[str, ...]:
    """The columns an expectation names that the frame lacks."""
    return tuple(name for name in columns_named(expectation.kwargs) if name not in frame.columns)
