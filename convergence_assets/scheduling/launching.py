"""The planner's decisions for Dagster: run requests, schedules, the catch-up sensor."""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import dagster as dg

from convergence_assets.assets.factory import pool_of
from convergence_assets.assets.tags import REQUEST_TAG, TRIGGERED_BY_TAG, partition_key, run_tags
from convergence_assets.dagster_internals import automation_states, pools
from convergence_assets.scheduling.schedule_names import schedule_name
from convergence_assets.settings import ONLY_TENANTS, Settings
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

if TYPE_CHECKING:
    from convergence_assets.control.partition_states import Request
    from convergence_assets.control.store import ControlStore
    from convergence_assets.scheduling.capacity import Launch
    from convergence_assets.scheduling.planner import Planner
    from convergence_assets.scheduling.requesting import RequestedRun
    from convergence_assets.scheduling.targets import Targets

CATCH_UP_EVERY_SECONDS = 30
LATE_DATA_EVERY_SECONDS = 60
NEWEST_PRIORITY, ASKED_PRIORITY, CATCH_UP_PRIORITY = 10, 0, -10
"""In the run queue; runs of people and backfills have 0."""
POOLS_A_TICK = 50
_LOOKED_UP_AT_ONCE = 500


def build_scheduling(
    registry: TenantRegistry, settings: Settings
) -> tuple[list[dg.ScheduleDefinition], list[dg.SensorDefinition]]:
    """One schedule per cron and timezone, whose tick requests what is due, and the sensors beside them."""
    inputs = _PlannerInputs(registry, settings)
    sharing: dict[tuple[str, str], list[str]] = defaultdict(list)
    for tenant in registry.tenants.values():
        for pipeline in tenant.pipelines if tenant.enabled else ():
            sharing[pipeline.schedule, tenant.timezone].append(f"{tenant.tenant_id}/{pipeline.name}")
    of_name = Counter(schedule_name(*key) for key in sharing)
    schedules = [_schedule(*key, names, inputs, of_name) for key, names in sorted(sharing.items())]
    return schedules, [_catch_up(inputs), _late_data(inputs)]


def run_request(launch: "Launch") -> dg.RunRequest:
    """The run request: one partition, or a range in one run."""
    target = launch.target
    tags = {
        REQUEST_TAG: launch.key,
        "dagster/priority": str(_priority(launch)),
    }
    if "KUBERNETES_SERVICE_HOST" in os.environ:  # the launched pod loads only this tenant
        only = {"name": ONLY_TENANTS, "value": target.tenant_id}
        tags["dagster-k8s/config"] = json.dumps({"container_config": {"env": [only]}})
    if launch.asked_by:
        tags[TRIGGERED_BY_TAG] = launch.asked_by
    return dg.RunRequest(
        run_key=launch.key,
        tags=run_tags(*target.name, launch.first, launch.last, launch.trigger) | tags,
        asset_selection=[dg.AssetKey([*target.name, table]) for table in target.tables.reads],
        partition_key=partition_key(launch.first, launch.last),
    )


def _priority(launch: "Launch") -> int:
    if launch.newest:
        return NEWEST_PRIORITY
    return ASKED_PRIORITY if launch.asked_by else CATCH_UP_PRIORITY


def look_up_requests(instance: dg.DagsterInstance, requests: "Sequence[Request]") -> "Mapping[str, RequestedRun]":
    """The outcomes of requests: of each the run that took it or a retry of that, one that is not over first.

    A second run that was launched for a request that another one took does not count.
    """
    from convergence_assets.assets.publish_guard import outcome_of_run
    from convergence_assets.scheduling.requesting import RequestedRun

    runs: dict[str, list[dg.DagsterRun]] = defaultdict(list)
    for start in range(0, len(requests), _LOOKED_UP_AT_ONCE):
        some = [request.key for request in requests[start : start + _LOOKED_UP_AT_ONCE]]
        for run in instance.get_runs(dg.RunsFilter(tags={REQUEST_TAG: some})):
            runs[run.tags[REQUEST_TAG]].append(run)
    by_key: dict[str, RequestedRun] = {}
    for request in requests:
        matching = [run for run in runs[request.key] if request.run_id in (None, run.run_id, run.root_run_id)]
        if matching:  # the newest first
            run = next((run for run in matching if not run.is_finished), matching[0])
            by_key[request.key] = RequestedRun(run.run_id, outcome_of_run(instance, run))
    return by_key


class _PlannerInputs:
    """What schedules and sensors share; the targets are built in the first tick, since that imports SQLAlchemy."""

    def __init__(self, registry: TenantRegistry, settings: Settings) -> None:
        self.registry = registry
        self.settings = settings

    @cached_property
    def targets(self) -> "Targets":
        from convergence_assets.scheduling.targets import Targets, targets_of

        return Targets(targets_of(self.registry.tenants.values()))

    def store(self) -> "ControlStore":
        from convergence_assets.control.store import ControlStore

        return ControlStore.open(self.settings)

    def planner(self, instance: dg.DagsterInstance) -> "Planner":
        from convergence_assets.scheduling.planner import Planner

        return Planner(self.store(), self.targets, partial(look_up_requests, instance), self.settings.shard)


def _schedule(
    cron: str, timezone: str, names: Sequence[str], inputs: _PlannerInputs, of_name: Mapping[str, int]
) -> dg.ScheduleDefinition:
    name = schedule_name(cron, timezone)
    if of_name[name] > 1:  # two spellings of one schedule: both have to load
        name += "_" + hashlib.sha256(f"{cron}/{timezone}".encode()).hexdigest()[:8]
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

    # By the implicit job's name: schedules over assets with different partitions load only so (Dagster 1.13).
    @dg.schedule(
        name=name,
        cron_schedule=cron,
        execution_timezone=timezone,
        job_name="__ASSET_JOB",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"`{cron}` in {timezone}: {shown}",
    )
    def due(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        launches = inputs.planner(context.instance).due((cron, timezone))
        if not launches:
            yield _NOTHING
        yield from map(run_request, launches)

    return due


def _catch_up(inputs: _PlannerInputs) -> dg.SensorDefinition:
    """Requests what the schedules' ticks did not: missed, failed, late and unblocked days."""
    tenants = [tenant for tenant in inputs.registry.tenants.values() if tenant.enabled]

    @dg.sensor(
        name="catch_up",
        asset_selection=dg.AssetSelection.all(),
        minimum_interval_seconds=CATCH_UP_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for days that were missed, failed, corrected late, or whose upstream is there now.",
    )
    def catch_up(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        _set_pools(context.instance, tenants)
        stopped = automation_states.stopped_schedules(context.instance, automation_states.location_of(context))
        on = [schedule for schedule in inputs.targets.schedules if schedule_name(*schedule) not in stopped]
        launches = inputs.planner(context.instance).catch_up(on)
        if not launches:
            return dg.SensorResult(skip_reason=_NOTHING)
        return dg.SensorResult(run_requests=[run_request(launch) for launch in launches])

    return catch_up


def _late_data(inputs: _PlannerInputs) -> dg.SensorDefinition:
    """Checks in the sources whether published days have changed; `catch_up` then requests their runs."""

    @dg.sensor(
        name="late_data",
        minimum_interval_seconds=LATE_DATA_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the sources, once a schedule's tick, for rows of days that are published already.",
    )
    def late_data(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from convergence_assets.scheduling.late_data import ask_sources

        targets = inputs.targets.by_name.values()
        changed = ask_sources(inputs.store(), inputs.settings, inputs.registry.tenants.values(), targets)
        return dg.SkipReason(f"late data: {', '.join(changed[:50])}" if changed else "no day has changed")

    return late_data


_NOTHING = dg.SkipReason("nothing to request; `convergence schedule` says of each pipeline why")


def _set_pools(instance: dg.DagsterInstance, tenants: Iterable[Tenant]) -> None:
    """Set the limits of the tenants' pools by their plans, some in each tick."""
    current = pools.pool_limits(instance)
    limits = {pool_of(tenant): tenant.plan.max_concurrent_runs for tenant in tenants}
    for pool in [pool for pool, limit in limits.items() if current.get(pool) != limit][:POOLS_A_TICK]:
        pools.set_pool_limit(instance, pool, limits[pool])
