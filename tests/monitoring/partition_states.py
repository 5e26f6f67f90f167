"""What Dagster shows of partitions and checks, to compare before and after history is removed."""

from collections.abc import Iterable
from typing import Any

import dagster as dg


def partition_states(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], checks: Iterable[dg.AssetCheckKey]
) -> dict[str, Any]:
    """By asset and check."""
    storage: Any = instance.event_log_storage
    shown: dict[str, Any] = {}
    for key in keys:
        attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        runs_of_attempts = {run_id: instance.get_run_by_id(run_id) for run_id, _ in attempts.values()}
        shown[f"{key} failed"] = sorted(
            day for day, (run_id, _) in attempts.items()
            if (run := runs_of_attempts[run_id]) and run.status == dg.DagsterRunStatus.FAILURE
        )  # fmt: skip
        shown[f"{key} materialized"] = storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
    for check in checks:
        shown[f"{check} by day"] = sorted(map(str, storage.get_asset_check_partition_info([check])))
        latest = storage.get_latest_asset_check_execution_by_key([check]).get(check)
        shown[f"{check} latest"] = latest and (latest.id, latest.status, latest.event)
    return shown
