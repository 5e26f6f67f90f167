"""A tenant's pipeline as the planner sees it: when it is due, what it writes, what it reads."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from convergence_assets.control.partition_states import Name
from convergence_assets.control.publications import Tables
from convergence_assets.control.run_requests import Quota
from convergence_assets.scheduling import due
from convergence_assets.tenancy.quota import quota_of
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


@dataclass(frozen=True)
class Target:
    """One pipeline of one tenant. `upstream` are the pipelines that write what it reads; `paused` is set in the
    tenant's file; after `wait_at_most` a day runs without its inputs (None: never); an unpublished day is late
    `late_after` it was due."""

    tenant_id: str
    pipeline: str
    cron: str
    timezone: str
    start_date: date
    tables: Tables
    upstream: frozenset[str]
    quota: Quota
    jitter: timedelta = timedelta()
    wait_at_most: timedelta | None = None
    paused: bool = False
    late_after: timedelta = timedelta(hours=4)

    @property
    def name(self) -> Name:
        return self.tenant_id, self.pipeline

    @property
    def schedule(self) -> tuple[str, str]:
        """Cron and timezone."""
        return self.cron, self.timezone

    def due_through(self, now: datetime) -> date:
        """The last day that is due."""
        return due.due_through(self.cron, self.timezone, now - self.jitter)

    def due_at(self, day: date) -> datetime:
        """When a day becomes due (UTC)."""
        return due.due_at(self.cron, self.timezone, day) + self.jitter

    def waited_long_enough(self, day: date, now: datetime) -> bool:
        """Whether the day runs now though an input is missing."""
        return self.wait_at_most is not None and self.due_at(day) + self.wait_at_most <= now


class Targets:
    """The targets of a deployment by name, and what is derived from all of them."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self.by_name = {target.name: target for target in targets}
        self.schedules = frozenset(target.schedule for target in self.by_name.values())
        """Cron and timezone of every schedule."""
        concerned: dict[tuple[str, str], list[Target]] = defaultdict(list)
        for target in self.by_name.values():
            for table in target.tables.all_tables():
                concerned[target.tenant_id, table].append(target)
        self.concerned = {key: tuple(names) for key, names in concerned.items()}
        """The pipelines that a publication concerns, by tenant and table: its writer and its readers."""


def targets_of(tenants: Iterable[Tenant]) -> list[Target]:
    """Every pipeline of every enabled tenant."""
    enabled = [(tenant, pipeline) for tenant in tenants if tenant.enabled for pipeline in tenant.pipelines]
    sharing = Counter((pipeline.schedule, tenant.timezone) for tenant, pipeline in enabled)
    return [_target(tenant, pipeline, sharing[pipeline.schedule, tenant.timezone]) for tenant, pipeline in enabled]


def tables_of(tenant: Tenant, pipeline: TenantPipeline) -> Tables:
    """The pipeline's tables, with what each reads of the tenant's."""
    begins = {step.table: definition.start_date for definition in tenant.pipelines for step in definition.steps}
    reads = {step.table: {name: begins[name] for name in step.upstream} for step in pipeline.steps}
    return Tables(reads, tenant.timezone, {step.table: step.spec.version for step in pipeline.steps})


def _target(tenant: Tenant, pipeline: TenantPipeline, sharing: int) -> Target:
    tables = tables_of(tenant, pipeline)
    hours = pipeline.wait_at_most_hours
    return Target(
        tenant_id=tenant.tenant_id,
        pipeline=pipeline.name,
        cron=pipeline.schedule,
        timezone=tenant.timezone,
        start_date=pipeline.start_date,
        tables=tables,
        upstream=_makers(tenant, pipeline, tables.all_tables()),
        quota=quota_of(tenant),
        jitter=due.jitter(tenant.tenant_id, sharing),
        wait_at_most=timedelta(hours=hours) if hours else None,
        paused=tenant.paused or pipeline.paused,
        late_after=pipeline.late_after,
    )


def _makers(tenant: Tenant, pipeline: TenantPipeline, read: Collection[str]) -> frozenset[str]:
    others = (definition for definition in tenant.pipelines if definition.name != pipeline.name)
    return frozenset(definition.name for definition in others if any(step.table in read for step in definition.steps))
