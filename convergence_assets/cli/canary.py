"""One tenant-day run as a trial, within a cap of bytes, and what became of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.run import Definitions, RunResult, finished_days_between
from convergence_assets.diagnostics.doctor.examine import Finding
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import TenantPipeline, TenantRegistry
from convergence_assets.warehouse.interface import GIGABYTE

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.diagnostics.certify.project import ProjectSetup
    from convergence_assets.tenancy.tenant import Tenant

NAME = "canary"


class Canary:
    """A day of each of a tenant's pipelines that has it. Raises `BadParameter` where it cannot be run."""

    def __init__(self, setup: "ProjectSetup", tenant_id: str, day: str, max_gigabytes: int) -> None:
        from convergence_assets.cli.lookup import running_tenant_of

        self._settings = replace(setup.settings, only_tenants=frozenset({tenant_id}))
        registry = load_for_a_run(self._settings)
        self.tenant: Tenant = running_tenant_of(registry, tenant_id)
        self._registry = _capped(registry, max_gigabytes)
        self._max_gigabytes = max_gigabytes
        pipelines = sorted(self.tenant.pipelines, key=lambda pipeline: pipeline.start_date)
        self._day: date = finished_days_between(self.tenant, pipelines[0], day, day)[0]
        self._pipelines = [pipeline for pipeline in pipelines if pipeline.start_date <= self._day]

    def run(self, setup: "ProjectSetup") -> Iterator[Finding]:
        """Publish the day as `convergence run` does, and read back what was published."""
        definitions = Definitions(self._settings, self._registry)
        tenant = self._registry.tenants[self.tenant.tenant_id]
        billed = 0
        with open_instance(self._settings) as instance:
            for pipeline in self._pipelines:
                result = definitions.run(instance, tenant, pipeline, self._day, self._day)
                billed += _billed(instance, result.run_id)
                yield self._finding(setup, pipeline, result)
                if billed > self._max_gigabytes * GIGABYTE:
                    break
        setup.billed.append(billed)
        if billed > self._max_gigabytes * GIGABYTE:
            yield Finding(NAME, "broken", f"{billed / GIGABYTE:.1f} GiB were billed, more than {self._max_gigabytes}",
                          "take a smaller tenant, or raise --max-gigabytes")  # fmt: skip

    def _finding(self, setup: "ProjectSetup", pipeline: TenantPipeline, result: RunResult) -> Finding:
        where = f"{self.tenant.tenant_id}, pipeline {pipeline.name}, {self._day}"
        if not result.succeeded:
            return Finding(NAME, "broken", f"{where}: run {result.run_id} failed: {result.failure}",
                           f"convergence diagnose {result.run_id[:8]}")  # fmt: skip
        different = list(self._different(setup, pipeline, result))
        if different:
            return Finding(
                NAME, "broken", f"{where}: {'; '.join(different)}", "see whether something else writes there"
            )
        rows = sum(count for days in result.published.values() for count in days.values())
        return Finding(
            NAME, "ok", f"{where}: {rows:,} rows of {len(result.published)} tables were published, and read back"
        )

    def _different(self, setup: "ProjectSetup", pipeline: TenantPipeline, result: RunResult) -> Iterator[str]:
        """The tables that do not hold the rows that the run says it has published."""
        from convergence_assets.assets.schema_mapping import target_table
        from convergence_assets.assets.warehouse_factory import open_bigquery
        from convergence_assets.warehouse.interface import Job
        from convergence_assets.warehouse.schema import Query

        cap = self._max_gigabytes * GIGABYTE
        job = Job(f"certify-{result.run_id}", {"pipeline": "certify", "asset": "certify"}, 120.0, cap)
        columns = {step.table: step.spec.partition_column for step in pipeline.steps}
        with open_bigquery(
            setup.settings, self.tenant.location, service_account=self.tenant.service_account
        ) as warehouse:
            for table, days in result.published.items():
                of_day = f" WHERE `{columns[table]}` = DATE '{self._day}'" if columns[table] else ""
                quoted = target_table(self.tenant, table)
                quoted = replace(quoted, project=quoted.project or warehouse.project)
                (row,) = warehouse.rows(Query(f"SELECT COUNT(*) AS found FROM {quoted.quoted}{of_day}"), job)
                published = sum(days.values())
                if row["found"] != published:
                    yield f"{table} has {row['found']} rows of the day, and the run published {published}"
            setup.billed.append(sum(statement.bytes_billed or 0 for statement in warehouse.statements))


def _capped(registry: TenantRegistry, max_gigabytes: int) -> TenantRegistry:
    def capped(pipeline: TenantPipeline) -> TenantPipeline:
        return replace(pipeline, maximum_gigabytes_billed=min(pipeline.maximum_gigabytes_billed, max_gigabytes))

    tenants = {
        name: replace(tenant, pipelines=tuple(map(capped, tenant.pipelines)))
        for name, tenant in registry.tenants.items()
    }
    return replace(registry, tenants=tenants)


def _billed(instance: "dg.DagsterInstance", run_id: str) -> int:
    """What the statements of a run were billed, as its materialisations say."""
    import dagster as dg

    billed = 0
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records:
        materialization = record.asset_materialization
        metadata: Any = materialization.metadata if materialization else {}
        billed += metadata["bytes_billed"].value if "bytes_billed" in metadata else 0
    return billed
