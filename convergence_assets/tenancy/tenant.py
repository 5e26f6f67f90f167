"""A tenant as the platform runs it: checked, merged with its defaults, its steps compiled and ordered."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import BigQueryStep, FilesStep, SourceSpec, StepTest, SuiteSpec
from convergence_assets.pipelines.parameters import BoundValue
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.secrets import Secret
from convergence_assets.tenancy.sharing import SharedSource
from convergence_assets.tenancy.tenant_file import Alerts, Plan


@dataclass(frozen=True)
class Source:
    """What a pipeline reads and no step of the tenant makes; `tables` are its full names for this tenant, read as one,
    and `declared` is where, as a problem without words.
    """

    name: str
    tables: tuple[str, ...]
    spec: SourceSpec
    declared: Problem = field(default=Problem("", None, "", ""), compare=False, repr=False)


@dataclass(frozen=True)
class PlacedTest:
    """A test of a step, and where it is, as a problem without words."""

    spec: StepTest
    declared: Problem


@dataclass(frozen=True)
class Step:
    """One table of one tenant.

    `sql` is None for files, `path` None for SQL; `folder` is the local one that no file of `path` may lead out of,
    and `declared` where `path` is, as a problem without words;
    `upstream` are bare names of tables this tenant makes; `parameters` are the values its SQL may bind by name;
    `late_data` asks its sources for markers of days; `replaced` has, by the name of a table of this tenant, the query
    in parentheses that is read in its place.
    """

    table: str
    spec: BigQueryStep | FilesStep
    suite: SuiteSpec
    sql: CompiledSql | None
    path: str | None
    upstream: tuple[str, ...]
    sources: Mapping[str, Source]
    parameters: Mapping[str, BoundValue]
    definition_hash: str
    late_data: CompiledSql | None = None
    folder: str | None = None
    declared: Problem = field(default=Problem("", None, "", ""), compare=False, repr=False)
    tests: tuple[PlacedTest, ...] = field(default=(), compare=False, repr=False)
    replaced: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class StuckLimits:
    """When a run counts as stuck; `running` is what a run over one day may take, and `request_again` how often a day a
    stuck run's days are requested again."""

    queued: timedelta = timedelta(minutes=120)
    starting: timedelta = timedelta(minutes=10)
    running: timedelta = timedelta(minutes=60)
    no_progress: timedelta = timedelta(minutes=15)
    canceling: timedelta = timedelta(minutes=5)
    request_again: int = 2


@dataclass(frozen=True)
class TenantPipeline:
    """A pipeline of a tenant, its steps in the order in which they run."""

    name: str
    description: str
    folder: str
    steps: tuple[Step, ...]
    start_date: date
    schedule: str
    max_pipeline_duration_minutes: int
    maximum_gigabytes_billed: int
    slow_seconds: int
    heavy_gigabytes: int
    validate_in_warehouse_above_rows: int
    wait_at_most_hours: int | None
    paused: bool
    stuck: StuckLimits
    late_after: timedelta

    @property
    def sources(self) -> Iterator[Source]:
        """The sources that its steps read, once a step."""
        return (source for step in self.steps for source in step.sources.values())


@dataclass(frozen=True)
class AlertRoute:
    """Where alerts of these severities go; `private_hosts` are those that a tenant's may lead to besides public ones,
    None for the operator's, which may lead anywhere."""

    severities: tuple[str, ...]
    to: Secret
    private_hosts: tuple[str, ...] | None = None


def alert_routes(declared: Alerts, private_hosts: tuple[str, ...] | None) -> tuple[AlertRoute, ...]:
    """The routes that a file declares: a tenant's with its private hosts, the operator's with None."""
    return tuple(
        AlertRoute(route.severities, Secret(route.to.get_secret_value()), private_hosts) for route in declared.routes
    )


@dataclass(frozen=True)
class Tenant:
    """A customer. `project` and `location` None mean the warehouse's own, `service_account` None that it is the
    platform's. `config_version` is a hash of its files. Hosts without a public address that its files may name are
    `private_hosts`; `grants` is what the operator's file has for it, by its keys. Of a source table in `shares` it
    reads the rows that fit the condition, by a view where `reads_views`: the table itself is then not its to read.
    """

    tenant_id: str
    display_name: str
    timezone: str
    project: str | None
    dataset: str
    location: str | None
    plan: Plan
    owners: tuple[str, ...]
    enabled: bool
    paused: bool
    pipelines: tuple[TenantPipeline, ...]
    alert_routes: tuple[AlertRoute, ...]
    config_version: str
    private_hosts: tuple[str, ...] = ()
    service_account: str | None = None
    grants: Mapping[str, Any] = field(default_factory=dict, compare=False)
    shares: Mapping[str, str] = field(default_factory=dict)
    reads_views: bool = False

    @property
    def sources(self) -> Iterator[Source]:
        """Those of its pipelines."""
        return (source for pipeline in self.pipelines for source in pipeline.sources)

    def read_from_pipelines(self, pipeline: TenantPipeline, step: Step) -> dict[str, date]:
        """The tables of the tenant's other pipelines that a step reads, each with its first day."""
        others = (other for other in self.pipelines if other.name != pipeline.name)
        begins = {other_step.table: other.start_date for other in others for other_step in other.steps}
        return {table: begins[table] for table in step.upstream if table in begins}


@dataclass(frozen=True)
class Rejection:
    """A tenant whose files are wrong; `last_accepted` is the version that is served meanwhile, None if none is.

    `undecided`: the files may be right, and no load of all tenants has seen whose their sources are.
    """

    tenant_id: str
    problems: tuple[Problem, ...]
    last_accepted: str | None
    undecided: bool = False


@dataclass(frozen=True)
class TenantRegistry:
    """Every tenant that is served, every one that was rejected, and all problems (also those of shared files).

    `alert_routes` are those of the shared defaults: the platform's own; `owners` has by place the owner of a source.
    """

    tenants: Mapping[str, Tenant]
    rejected: Mapping[str, Rejection]
    problems: tuple[Problem, ...] = field(default=())
    alert_routes: tuple[AlertRoute, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    shared_sources: tuple[SharedSource, ...] = ()

    def part(self, holds: Callable[[str], bool]) -> "TenantRegistry":
        """The same without the tenants that a code location does not hold."""
        return replace(
            self,
            tenants={name: tenant for name, tenant in self.tenants.items() if holds(name)},
            rejected={name: rejection for name, rejection in self.rejected.items() if holds(name)},
        )

    def set_aside(self, problems: Mapping[str, Problem]) -> "TenantRegistry":
        """The same with these tenants, each with its problem, among the rejected and not served."""
        rejected = dict(self.rejected)
        for tenant_id, problem in problems.items():
            existing = rejected[tenant_id].problems if tenant_id in rejected else ()
            rejected[tenant_id] = Rejection(tenant_id, (*existing, problem), None)
        served = {name: tenant for name, tenant in self.tenants.items() if name not in problems}
        return replace(self, tenants=served, rejected=rejected, problems=(*self.problems, *problems.values()))
