"""One tenant-day run as a trial, and what became of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.run import Definitions, RunResult, finished_days_between
from convergence_assets.diagnostics.doctor.examine import Finding
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import TenantPipeline
from convergence_assets.warehouse.interface import GIGABYTE

if TYPE_CHECKING:
    from convergence_assets.diagnostics.certify.project import ProjectSetup
    from convergence_assets.tenancy.tenant import Tenant
    from convergence_assets.warehouse.bigquery.spending import Spending

NAME = "canary"


class Canary:
    """A day of each of a tenant's pipelines that has it. Raises `BadParameter` where it cannot be run."""

    def __init__(self, setup: "ProjectSetup", tenant_id: str, day: str, spending: "Spending") -> None:
        from convergence_assets.cli.lookup import running_tenant_of

        self.settings = replace(setup.settings, only_tenants=frozenset({tenant_id}))
        self._registry = load_for_a_run(self.settings)
        self.tenant: Tenant = running_tenant_of(self._registry, tenant_id)
        self.spending = spending
        pipelines = sorted(self.tenant.pipelines, key=lambda pipeline: pipeline.start_date)
        self.day: date = finished_days_between(self.tenant, pipelines[0], day, day)[0]
        self.pipelines = [pipeline for pipeline in pipelines if pipeline.start_date <= self.day]

    def run(self, setup: "ProjectSetup") -> Iterator[Finding]:
        """Publish the day as `convergence run` does, and read back what was published."""
        definitions = Definitions(self.settings, self._registry)
        with open_instance(self.settings) as instance:
            for pipeline in self.pipelines:
                result = definitions.run(instance, self.tenant, pipeline, self.day, self.day)
                yield self._finding(setup, pipeline, result)
                if not self.spending.left:
                    yield Finding(NAME, "broken", "all that --max-gigabytes allows was billed: "
                                  f"{self.spending.billed / GIGABYTE:.1f} of {self.spending.maximum / GIGABYTE:.0f} GB",
                                  "take a smaller tenant, or raise --max-gigabytes")  # fmt: skip
                    return

    def _finding(self, setup: "ProjectSetup", pipeline: TenantPipeline, result: RunResult) -> Finding:
        where = f"{self.tenant.tenant_id}, pipeline {pipeline.name}, {self.day}"
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
        held = self.row_counts(setup, pipeline, result.published, result.run_id)
        for table, days in result.published.items():
            if held[table] != (published := sum(days.values())):
                yield f"{table} has {held[table]} rows of the day, and the run published {published}"

    def row_counts(
        self, setup: "ProjectSetup", pipeline: TenantPipeline, tables: Iterable[str], run_id: str
    ) -> Mapping[str, int]:
        """By table of the pipeline its rows of the day, as read for that run; 0 where there is no table yet."""
        from convergence_assets.assets.schema_mapping import target_table
        from convergence_assets.assets.warehouse_factory import open_bigquery
        from convergence_assets.warehouse.interface import Job
        from convergence_assets.warehouse.schema import Query

        job = Job(f"certify-{run_id}", {"pipeline": "certify", "asset": "certify"}, 120.0)
        columns = {step.table: step.spec.partition_column for step in pipeline.steps}
        account, counts = self.tenant.service_account, dict.fromkeys(tables, 0)
        with open_bigquery(setup.settings, self.tenant.location, service_account=account) as warehouse:
            for name in counts:
                table = target_table(self.tenant, name)
                table = replace(table, project=table.project or warehouse.project)
                if warehouse.existing_schema(table) is None:
                    continue
                of_day = f" WHERE `{columns[name]}` = DATE '{self.day}'" if columns[name] else ""
                (row,) = warehouse.rows(Query(f"SELECT COUNT(*) AS found FROM {table.quoted}{of_day}"), job)
                counts[name] = row["found"]
        return counts
