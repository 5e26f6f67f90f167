"""The names of Great Expectations 1.24 that are not public API, each used only here and covered by a test."""

import copy
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_lock = threading.Lock()


@contextmanager
def great_expectations() -> Iterator[None]:
    """Great Expectations imported and quiet, for this thread alone.

    No data context is made: GX 1.24 keeps the current one in a global, through which threads would get results for each
    other's frames. The lock is for the warnings filter; it costs nothing that the interpreter's own would not.
    """
    with _lock:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        # Its log lines quote the values that made a metric fail.
        logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations

            _use_re2()
            # For each decimal that it writes as a double GX walks the whole stack (0.3 s), to decide whether to warn.
            vars(great_expectations.util)["stack"] = list
            yield


@lru_cache(maxsize=1)
def _use_re2() -> None:
    """Metrics of our own under GX's names: its registry takes the last one."""
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
        column_condition_partial,
    )
    from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
        ColumnMapMetricProvider,
    )

    from convergence_assets.quality.patterns import contains, contains_of, fits

    class MatchRegex(ColumnMapMetricProvider):
        condition_metric_name = "column_values.match_regex"
        condition_value_keys = ("regex",)

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, regex: str, **more: Any) -> Any:
            return contains(column, regex)

    class NotMatchRegex(ColumnMapMetricProvider):
        condition_metric_name = "column_values.not_match_regex"
        condition_value_keys = ("regex",)

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, regex: str, **more: Any) -> Any:
            return ~contains(column, regex)

    class MatchRegexList(ColumnMapMetricProvider):
        condition_metric_name = "column_values.match_regex_list"
        condition_value_keys = ("regex_list", "match_on")
        default_kwarg_values = {"match_on": "any"}  # noqa: RUF012

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, regex_list: Sequence[str], match_on: str, **more: Any) -> Any:
            return contains_of(column, regex_list, match_on)

    class NotMatchRegexList(ColumnMapMetricProvider):
        condition_metric_name = "column_values.not_match_regex_list"
        condition_value_keys = ("regex_list",)

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, regex_list: Sequence[str], **more: Any) -> Any:
            return ~contains_of(column, regex_list)

    class MatchJsonSchema(ColumnMapMetricProvider):
        condition_metric_name = "column_values.match_json_schema"
        condition_value_keys = ("json_schema",)

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, json_schema: Mapping[str, Any], **more: Any) -> Any:
            return fits(column, json_schema)


def domain_object(type_: str, arguments: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> Any:
    """An expectation as GX's own object, from its serialised form; raises whatever GX raises on bad arguments."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = copy.deepcopy(dict(arguments))
    return ExpectationConfiguration(type=type_, kwargs=kwargs, meta=dict(meta) if meta else None).to_domain_obj()


def with_arguments(built: Any, exact: Mapping[str, Any]) -> Any:
    """The object with these arguments as they are: GX's models make a double of every bound that is a number."""
    return built.copy(update=dict(exact)) if exact else built


def arguments_of(built: Any) -> Mapping[str, Any]:
    """The arguments of a built expectation, but for those that are its type's defaults."""
    kwargs: Mapping[str, Any] = built.configuration.kwargs
    return kwargs


def type_of(built: Any) -> str:
    """The type as a suite names it."""
    name: str = built.expectation_type
    return name


def map_metric(built: Any) -> str | None:
    """The metric of an expectation about single rows, None of any other."""
    return getattr(built, "map_metric", None)


def judged(built: Any, metrics: Mapping[str, Any], result_format: Mapping[str, Any], engine: Any = None) -> Any:
    """GX's own judgement of these metrics: a mapping of `success` and `result`."""
    return built._validate(dict(metrics), {"result_format": dict(result_format)}, engine)


def engine_over(frame: "pd.DataFrame") -> Any:
    """GX's execution engine with the frame as its one batch."""
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    return PandasExecutionEngine(batch_data_dict={"partition": frame})


def validated(frame: "pd.DataFrame", built: Sequence[Any], result_format: Mapping[str, Any]) -> Sequence[Any]:
    """GX's results of these expectations over the frame, in its own order."""
    from great_expectations.validator.validator import Validator

    # Without a data context: nothing is shared with another validation, and the frame is not hashed, which took
    # longer than validating it.
    validator = Validator(execution_engine=engine_over(frame))
    validator.metrics_calculator.show_progress_bars = False
    results: Sequence[Any] = validator.graph_validate(
        configurations=[expectation.configuration for expectation in built],
        runtime_configuration={"result_format": dict(result_format), "catch_exceptions": True},
    )
    return results


def records(
    engine: Any, built: Any, result_format: Mapping[str, Any]
) -> tuple["pd.DataFrame", "pd.DataFrame", Mapping[str, Any]]:
    """All rows of the engine's batch, of these the ones that a row-level expectation judges, and its domain."""
    domain = dict(_needed(engine, built, result_format).metric_domain_kwargs)
    considered: pd.DataFrame = engine.get_domain_records(domain)
    return engine.get_domain_records({}), considered, domain


def unexpected(engine: Any, built: Any, result_format: Mapping[str, Any], exact: Mapping[str, Any]) -> Any:
    """Of the judged rows, whether each is unexpected: a series or an array of truth values. Raises LookupError.

    `exact` are arguments that GX would make doubles of on its way to the metric.
    """
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    needed = _needed(engine, built, result_format)
    arguments = {key: value for key, value in needed.metric_value_kwargs.items() if key != "result_format"}
    arguments |= {key: value for key, value in exact.items() if key in arguments}
    metric = MetricConfiguration(f"{built.map_metric}.condition", needed.metric_domain_kwargs, arguments)
    resolved, aborted = MetricsCalculator(execution_engine=engine, show_progress_bars=False).compute_metrics([metric])
    if aborted or metric.id not in resolved:
        raise LookupError(f"{built.map_metric} was not computed")
    return resolved[metric.id][0]


def _needed(engine: Any, built: Any, result_format: Mapping[str, Any]) -> Any:
    dependencies = built.get_validation_dependencies(
        execution_engine=engine, runtime_configuration={"result_format": dict(result_format)}
    )
    return dependencies.metric_configurations[f"{built.map_metric}.unexpected_count"]
