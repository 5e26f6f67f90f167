"""A step's checks in Dagster: their declaration, a result each, and in a range an evaluation a day.

A check has its asset's partitions, so that Dagster shows it red while any day has failed and names the days; a run over
one day is evaluated for that day. A range is evaluated once for the run, with its worst outcome, and for each day.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from convergence_assets.assets.schema_mapping import expectations
from convergence_assets.assets.structure import declared_structural
from convergence_assets.dagster_internals import check_events
from convergence_assets.quality.expectations import CheckOutcome, Expectation, PartitionOutcome
from convergence_assets.quality.rules import RULES
from convergence_assets.tenancy.tenant import Step

EVERY_DAY_UP_TO = 31
"""In a range of more days, only the days that failed have an evaluation of their own."""
EXAMPLES_SHOWN = 3
"""How many of a failed check's examples are shown first; its metadata has up to twenty."""
DAY_OF_A_RANGE = "day_of_a_range"
"""Metadata of an evaluation that is one day's of a range; the run's own result covers that day too."""


def check_specs(
    key: dg.AssetKey, step: Step, partitions: dg.PartitionsDefinition[str], *, reads_pipelines: bool
) -> list[dg.AssetCheckSpec]:
    """The checks of a step's table. A critical one is blocking: where it fails, the step fails, so that the day is not
    published and nothing downstream runs."""
    specs = [
        dg.AssetCheckSpec(
            s.name,
            asset=key,
            description=s.description,
            metadata={"severity": s.severity},
            blocking=s.severity == "critical",
            partitions_def=partitions,
        )
        for s in declared_structural(
            step.spec.when_empty, reads_pipelines=reads_pipelines, reads_sources=bool(step.sources)
        )
    ]
    specs += [
        dg.AssetCheckSpec(
            e.name,
            asset=key,
            description=str(e.meta.get("reason") or e.type.replace("_", " ")),
            metadata={"severity": e.severity, "expectation": e.type, "kwargs": _arguments(e)},
            blocking=e.severity == "critical",
            partitions_def=partitions,
        )
        for e in expectations(step.suite)
    ]
    return specs


def _arguments(expectation: Expectation) -> dg.MetadataValue[Any]:
    """Of rules their ids alone, in one text: they are many, and every tenant has them."""
    if expectation.type == RULES:
        return dg.MetadataValue.text(" ".join(rule["id"] for rule in expectation.kwargs["rules"]))
    return dg.MetadataValue.json(dict(expectation.kwargs))


def check_results(
    context: dg.AssetExecutionContext, outcomes: Sequence[CheckOutcome], days: Sequence[date], stopped: Iterable[date]
) -> Iterator[dg.AssetCheckResult]:
    """The results of a step's checks; of a run over a range each day's evaluations are logged first.

    Comes after the step's materialisations: a check counts for the materialisation that was the latest when it was
    evaluated. `stopped` are the days that were not published, whichever check is to blame.
    """
    stopped = tuple(stopped)
    if not context.has_partition_key:
        _log_days(context, outcomes, days)
    for outcome in outcomes:
        yield check_result(outcome, context.asset_key, days, stopped)


def check_result(
    outcome: CheckOutcome, asset_key: dg.AssetKey, days: Sequence[date], held_back: Sequence[date]
) -> dg.AssetCheckResult:
    """An outcome over these days as Dagster records it; `info` and `warning` never block.

    `partitions` has each day's result, where there are several; `held_back` are those that were not
    published, whichever check is to blame.
    """
    metadata: dict[str, object] = {
        "severity": outcome.severity,
        "expectation": outcome.type,
        "column": outcome.column,
        "observed_value": outcome.observed_value,
        "unexpected_count": outcome.unexpected_count,
        "unexpected_percent": outcome.unexpected_percent,
        "examples": list(outcome.examples) or None,
        "failed_partitions": list(outcome.failed_partitions) or None,
        "partitions": {d.isoformat(): _judged(outcome, d) for d in days} if len(days) > 1 else None,
        "held_back": [d.isoformat() for d in held_back] or None,
        "error": outcome.error,
        "rules_broken": [_broken(rule, days) for rule in outcome.rules if not rule.passed] or None,
        "rules_held": {rule.name: rule.column for rule in outcome.rules if rule.passed} or None,
    }
    return dg.AssetCheckResult(
        asset_key=asset_key,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=_severity(outcome),
        metadata={k: v for k, v in metadata.items() if v is not None},  # type: ignore[misc]
        description=outcome.error,
    )


def examples_shown(examples: Sequence[object], unexpected: int | None) -> str:
    """The first unexpected values or rows as a sentence's end; empty where none are kept. Sensitive ones are masked."""
    if not examples:
        return ""
    *first, more = example_lines(examples, unexpected)
    return f", e.g. {' | '.join(first)}" + (f" {more}" if more else "")


def example_lines(examples: Sequence[object], unexpected: int | None) -> list[str]:
    """The first unexpected values or rows, a line each, and how many more there are, which may be empty."""
    first = [str(example) for example in examples[:EXAMPLES_SHOWN]]
    more = max(unexpected or 0, len(examples)) - len(first)
    return [*first, f"and {more:,} more" if more > 0 else ""]


def is_of_a_day(metadata: Mapping[str, object]) -> bool:
    """Whether an evaluation is one day's of a range: what counts or lists results takes the run's own."""
    return DAY_OF_A_RANGE in metadata


def _broken(rule: CheckOutcome, days: Sequence[date]) -> dict[str, object]:
    return {
        "rule": rule.name,
        "clause": rule.clause,
        "column": rule.column,
        "unexpected_count": rule.unexpected_count,
        "unexpected_percent": rule.unexpected_percent,
        "examples": list(rule.examples),
        "partitions": {d.isoformat(): _judged(rule, d) for d in days},
    }


def _log_days(context: dg.AssetExecutionContext, outcomes: Sequence[CheckOutcome], days: Sequence[date]) -> None:
    every_day = len(days) <= EVERY_DAY_UP_TO
    judged = [(outcome, day, _judged_on(outcome, day)) for outcome in outcomes for day in days]
    judged = [
        (outcome, day, day_outcome) for outcome, day, day_outcome in judged if every_day or not day_outcome.passed
    ]
    targets = check_events.latest_materializations(
        context.instance, context.asset_key, {day.isoformat() for _, day, _ in judged}
    )
    evaluations = [
        dg.AssetCheckEvaluation(
            asset_key=context.asset_key,
            check_name=outcome.name,
            passed=day_outcome.passed,
            metadata=_of_day(outcome, day_outcome),  # type: ignore[arg-type]
            severity=_severity(outcome),
            description=day_outcome.error,
            blocking=outcome.severity == "critical",
            partition=day.isoformat(),
            target_materialization_data=targets.get(day.isoformat()),
        )
        for outcome, day, day_outcome in judged
    ]
    check_events.log_check_evaluations(context, evaluations)


def _judged_on(outcome: CheckOutcome, day: date) -> PartitionOutcome:
    """What is judged over all days together holds for each of them."""
    return outcome.partitions.get(day.isoformat()) or PartitionOutcome(passed=outcome.passed, error=outcome.error)


def _of_day(outcome: CheckOutcome, day_outcome: PartitionOutcome) -> dict[str, object]:
    """The declaration and the run's own result have the rest: a month of days is thousands of these."""
    metadata: dict[str, object] = {
        DAY_OF_A_RANGE: True,
        "severity": outcome.severity,
        "observed_value": day_outcome.observed_value,
        "unexpected_count": day_outcome.unexpected_count or None,
        "examples": list(day_outcome.examples) or None,
    }
    return {k: v for k, v in metadata.items() if v is not None}


def _severity(outcome: CheckOutcome) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if outcome.severity == "critical" else dg.AssetCheckSeverity.WARN


def _judged(outcome: CheckOutcome, day: date) -> dict[str, object]:
    day_outcome = _judged_on(outcome, day)
    counts = {
        "observed_value": day_outcome.observed_value,
        "unexpected_count": day_outcome.unexpected_count,
        "unexpected_percent": day_outcome.unexpected_percent,
    }
    return {"passed": day_outcome.passed} | {k: v for k, v in counts.items() if v is not None}
