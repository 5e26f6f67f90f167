"""The names of Dagster 1.13 that are not public API and that check evaluations need, each covered by a test."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg


def is_planned_check(event: dg.EventLogEntry) -> bool:
    """Whether an event only says that a run plans to evaluate a check."""
    return event.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED


def latest_evaluation(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """A check's newest evaluation; None where there is none, or where a run has planned one."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    entry = record.event if record is not None else None
    event = entry.dagster_event if entry is not None else None
    evaluation = event.event_specific_data if event is not None else None
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def take_last_of_batch(instance: dg.DagsterInstance, batch_id: str) -> dg.EventLogEntry | None:
    """Take the last event out of the batch that waits to be stored; None where none waits."""
    waiting = instance._event_buffer.get(batch_id)
    return waiting.pop() if waiting else None


def latest_materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> Mapping[str, Any]:
    """The latest materialisation of each of these partitions that has one: what its evaluations are about."""
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationTargetMaterializationData,
    )

    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    evaluated = dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=list(newest.values()))
    records = instance.fetch_materializations(evaluated, limit=len(newest)).records if newest else []
    return {
        str(record.partition_key): AssetCheckEvaluationTargetMaterializationData(
            run_id=record.run_id, storage_id=record.storage_id, timestamp=record.timestamp
        )
        for record in records
    }


def log_check_evaluations(context: dg.AssetExecutionContext, evaluations: Sequence[dg.AssetCheckEvaluation]) -> None:
    """As `context.log_event` for each, but stored together instead of one by one."""
    from dagster._core.events import DagsterEventBatchMetadata, generate_event_batch_id

    step, batch = context.get_step_execution_context(), generate_event_batch_id()  # type: ignore[no-untyped-call]
    for number, evaluation in enumerate(evaluations, 1):
        dg.DagsterEvent.from_step(
            dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            step,
            evaluation,
            f"Asset check '{evaluation.check_name}' {'passed' if evaluation.passed else 'did not pass'} "
            f"on {evaluation.partition}.",
            DagsterEventBatchMetadata(batch, number == len(evaluations)),
        )
