"""The limits of pools, and the slots that a run holds."""

from collections.abc import Mapping

import dagster as dg


def set_pool_limit(instance: dg.DagsterInstance, pool: str, limit: int) -> None:
    """How many runs of a pool may be in progress at once."""
    instance.event_log_storage.set_concurrency_slots(pool, limit)


def pool_limits(instance: dg.DagsterInstance) -> Mapping[str, int]:
    """The limits that were set, by pool; pools with the default are left out."""
    return {p.name: p.limit for p in instance.event_log_storage.get_pool_limits() if not p.from_default}


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the pool slots that a run's steps hold."""
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
