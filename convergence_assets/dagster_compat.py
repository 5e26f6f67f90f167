"""The names of Dagster 1.13 that are not public API, each used here alone and held by a test of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg


def add_run_tags(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or replace tags of a run."""
    instance.add_run_tags(run_id, dict(tags))


def stopped_schedules(instance: dg.DagsterInstance) -> set[str]:
    """The names of the schedules that somebody has switched off; one that nobody touched follows its definition."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: Iterable[Any] = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return {state.instigator_name for state in states if state.status == InstigatorStatus.STOPPED}


def set_pool_limit(instance: dg.DagsterInstance, pool: str, limit: int) -> None:
    """How many runs of a pool may be in progress at once."""
    instance.event_log_storage.set_concurrency_slots(pool, limit)


def pool_limits(instance: dg.DagsterInstance) -> Mapping[str, int]:
    """The limits that were set, by pool; those that follow the default are left out."""
    return {p.name: p.limit for p in instance.event_log_storage.get_pool_limits() if not p.from_default}
