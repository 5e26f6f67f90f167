"""Great Expectations behind one door: everything of this room that runs it, one validation of a process at a time."""

import copy
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convergence_assets.quality.expectations import Expectation, columns_named, columns_read
from convergence_assets.quality.prepare import numeric_view, prepared, reads_numbers

if TYPE_CHECKING:
    import pandas as pd

ID = "convergence_id"
EXAMPLES_READ = 200
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": EXAMPLES_READ}
"""BASIC keeps no list of unexpected rows beyond the first ones; those are read to find twenty that differ."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Raw:
    """What Great Expectations said of one expectation; `error` where it raised, refused it or said nothing."""

    success: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@contextmanager
def great_expectations() -> Iterator[None]:
    """Great Expectations imported and quiet, for this thread alone.

    No data context is made: GX 1.24 keeps the current one in a global, through which threads are answered about each
    other's frames. The lock is for the warnings filter; it costs nothing that the interpreter's own would not.
    """
    with _one_at_a_time:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        # Its log lines quote the values that made a metric fail.
        logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations  # noqa: F401

            yield


def build(expectation: Expectation, frame: "pd.DataFrame", position: int) -> Any:
    """The expectation as GX's own object, made from its serialised form; raises whatever GX raises on bad ones."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    type_, kwargs = prepared(expectation, frame)
    if type_ != expectation.type:
        as_written = {key: copy.deepcopy(value) for key, value in expectation.kwargs.items()}
        ExpectationConfiguration(type=expectation.type, kwargs=as_written).to_domain_obj()
    return ExpectationConfiguration(type=type_, kwargs=copy.deepcopy(kwargs), meta={ID: position}).to_domain_obj()


def run(frame: "pd.DataFrame", built: Mapping[int, Any], expectations: Mapping[int, Expectation]) -> dict[int, Raw]:
    """Every expectation over the whole frame, by position; each position has an answer."""
    alike: dict[tuple[bool, frozenset[str]], dict[int, Any]] = {}
    for position, expectation in built.items():
        columns = columns_read([expectations[position]], list(frame.columns))
        alike.setdefault((reads_numbers(expectation.expectation_type), columns), {})[position] = expectation
    answers: dict[int, Raw] = {}
    for some in alike.values():
        first = next(iter(some))
        answers |= _run(view(frame, expectations[first], some[first]), some)
    silent = Raw(False, error="Great Expectations gave no result")
    return {position: answers.get(position, silent) for position in built}


def view(frame: "pd.DataFrame", expectation: Expectation, built: Any) -> "pd.DataFrame":
    """A frame of its own for an expectation, sharing the values of `frame`: only the columns that it reads, because GX
    copies every column of a frame several times an expectation."""
    import pandas as pd

    columns = columns_read([expectation], list(frame.columns))
    shared = {name: column for name, column in frame.items() if name in columns or not columns}
    mine = pd.DataFrame(shared, index=frame.index, copy=False)
    return numeric_view(mine) if reads_numbers(built.expectation_type) else mine


def _run(frame: "pd.DataFrame", built: Mapping[int, Any]) -> dict[int, Raw]:
    try:
        answers = _validated(frame, list(built.values()))
    except Exception as error:
        answers = {position: Raw(False, error=said(error)) for position in built}
    raised = [position for position in built if position not in answers or answers[position].error]
    if raised and len(built) > 1:
        # GX fails a whole validation, or all that share a metric, for one expectation's fault.
        for position in raised:
            answers |= _run(frame, {position: built[position]})
    return answers


def over(frame: "pd.DataFrame") -> Any:
    """GX's execution engine with the frame as its one batch."""
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    return PandasExecutionEngine(batch_data_dict={"partition": frame})


def _validated(frame: "pd.DataFrame", expectations: Sequence[Any]) -> dict[int, Raw]:
    from great_expectations.validator.validator import Validator

    # Without a data context: nothing is shared with another validation, and the frame is not hashed, which took
    # longer than validating it.
    validator = Validator(execution_engine=over(frame))
    validator.metrics_calculator.show_progress_bars = False
    results = validator.graph_validate(
        configurations=[expectation.configuration for expectation in expectations],
        runtime_configuration={"result_format": dict(RESULT_FORMAT), "catch_exceptions": True},
    )
    answers = {}
    for result in results:
        meta = result.expectation_config.meta if result.expectation_config else None
        if meta is not None and ID in meta:
            answers[int(meta[ID])] = _raw(result)
    return answers


def _raw(result: Any) -> Raw:
    info = result.exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    messages = [str(one.get("exception_message")) for one in raised if one.get("raised_exception")]
    if messages:
        return Raw(False, error="; ".join(dict.fromkeys(messages)))
    answer = dict(result.result or {})
    says_only_success = result.expectation_config.type == "expect_column_to_exist"
    if result.success and not says_only_success and answer.keys().isdisjoint({"unexpected_count", "observed_value"}):
        return Raw(False, error="Great Expectations gave no result")
    return Raw(bool(result.success), answer)


def said(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {error}"


def shape_frame(declared: Sequence[str]) -> "pd.DataFrame":
    """A frame of the declared columns without rows."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype=object) for name in declared})


def missing_columns(expectation: Expectation, frame: "pd.DataFrame") -> tuple[str, ...]:
    """The columns an expectation names that the frame lacks."""
    return tuple(name for name in columns_named(expectation.kwargs) if name not in frame.columns)
