"""Tenants to Dagster assets: one asset a tenant and step, one check an expectation."""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from typing import Any

import dagster as dg

from convergence_assets.assets.check_events import check_specs
from convergence_assets.assets.materialize import StepRun, execute
from convergence_assets.pipelines.models import BigQueryStep, ColumnSpec
from convergence_assets.pipelines.problems import Problem
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Rejection, Source, Step, Tenant, TenantPipeline, TenantRegistry

# One run may cover up to this many partitions; beyond it Dagster makes several runs of a backfill.
PARTITIONS_PER_RUN = 90
_log = logging.getLogger(__name__)


def build_assets(
    registry: TenantRegistry, settings: Settings
) -> tuple[list[dg.AssetsDefinition | dg.AssetSpec], dict[str, Problem]]:
    """Every asset of every enabled tenant, and the `[tenant, config]` mark of each rejected one.

    And the tenants, with the problem, whose assets Dagster does not take with the others: they have only the mark.
    """
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = []
    sources: set[dg.AssetKey] = set()
    faulty: dict[str, Problem] = {}
    with warnings.catch_warnings():
        # In Dagster 1.13 backfill policies and upstream partitions that do not exist are beta, a check's partitions are
        # a preview: tests cover all three.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        taken: dict[str, str] = {}
        for tenant in registry.tenants.values():
            if tenant.enabled:
                try:
                    assets += _build_tenant_assets(tenant, settings, sources, taken)
                except _NameTaken as error:
                    faulty[tenant.tenant_id] = _build_problem(tenant, str(error))
                except Exception as error:
                    _log.exception("the assets of tenant %s cannot be made", tenant.tenant_id)
                    faulty[tenant.tenant_id] = _build_problem(tenant, type(error).__name__)
    assets += [_rejected(rejection) for rejection in registry.set_aside(faulty).rejected.values()]
    return assets, faulty


class _NameTaken(Exception):
    """Two asset keys have one name in Dagster."""


def _build_problem(tenant: Tenant, why: str) -> Problem:
    return Problem(f"{tenant.tenant_id}/tenant.yaml", None, "", f"its assets cannot be made: {why}")


def _build_tenant_assets(
    tenant: Tenant, settings: Settings, sources: set[dg.AssetKey], taken: dict[str, str]
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """A tenant's assets. `taken` are the names that Dagster makes of keys; the tenant's are added there and to
    `sources` unless this raises."""
    seen = set(sources)
    tenant_assets = list(_tenant_assets(tenant, settings, seen))
    for asset in tenant_assets:
        key = asset.key.to_user_string()
        if (other := taken.get(asset.key.to_python_identifier(), key)) != key:
            raise _NameTaken(f"{key} and {other} have one name in Dagster")
    taken |= {asset.key.to_python_identifier(): asset.key.to_user_string() for asset in tenant_assets}
    sources |= seen
    return tenant_assets


def asset_key(tenant: Tenant, pipeline: TenantPipeline, table: str) -> dg.AssetKey:
    """`[tenant, pipeline, table]`."""
    return dg.AssetKey([tenant.tenant_id, pipeline.name, table])


def pool_of(tenant: Tenant) -> str:
    """The pool of all of the tenant's assets: its limit is that of the plan."""
    return f"tenant_{tenant.tenant_id}"


def source_key(table: str) -> dg.AssetKey:
    """`[source, dataset, table]`: outside the tenant's own keys, since `key:tenant/*` selects what can be run."""
    return dg.AssetKey(["source", *table.split(".")])


def source_keys(source: Source) -> list[dg.AssetKey]:
    """Of each of its tables."""
    return [source_key(table) for table in source.tables]


def _tenant_assets(
    tenant: Tenant, settings: Settings, seen: set[dg.AssetKey]
) -> Iterator[dg.AssetsDefinition | dg.AssetSpec]:
    keys = {
        step.table: asset_key(tenant, pipeline, step.table) for pipeline in tenant.pipelines for step in pipeline.steps
    }
    for pipeline in tenant.pipelines:
        sources = {source.name: source for step in pipeline.steps for source in step.sources.values()}
        for source in sources.values():
            for key, table in zip(source_keys(source), source.tables, strict=True):
                if key not in seen:
                    seen.add(key)
                    yield dg.AssetSpec(
                        key=key,
                        group_name=tenant.tenant_id,
                        description=f"{source.spec.description}\n\nRead from `{table}`.",
                        kinds={"bigquery", "source"},
                    )
        for step in pipeline.steps:
            yield _asset(StepRun(settings, tenant, pipeline, step), keys)


def _asset(run: StepRun, keys: dict[str, dg.AssetKey]) -> dg.AssetsDefinition:
    tenant, pipeline, step = run.tenant, run.pipeline, run.step
    key = keys[step.table]
    days = _daily(pipeline.start_date, tenant.timezone)
    read = [keys[name] for name in step.upstream] + [k for s in step.sources.values() for k in source_keys(s)]

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(k, partition_mapping=_same_day()) if k in keys.values() else dg.AssetDep(k)
            for k in read
            if k != key
        ],
        partitions_def=days,
        check_specs=check_specs(key, step, days, reads_pipelines=bool(run.upstream_pipelines)),
        group_name=tenant.tenant_id,
        description=step.spec.description,
        owners=list(tenant.owners),
        tags={"tenant": tenant.tenant_id, "pipeline": pipeline.name},
        kinds={"bigquery" if run.settings.warehouse == "bigquery" else "duckdb", _kind(step)},
        metadata=_definition_metadata(step),
        code_version=step.definition_hash,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        pool=pool_of(tenant),
    )
    def materialize(context: dg.AssetExecutionContext) -> Any:  # Dagster evaluates annotations eight times an asset
        yield from execute(run, context)

    return materialize


def _definition_metadata(step: Step) -> dict[str, object]:
    spec = step.spec
    return {
        "dagster/column_schema": _column_schema(tuple(spec.columns)),
        "partition_column": spec.partition_column,
        "clustering": ", ".join(spec.clustering),
        "when_empty": spec.when_empty,
        "version": spec.version,
    }


@cache
def _column_schema(columns: Sequence[ColumnSpec]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                c.name,
                c.type,
                c.description or None,
                constraints=dg.TableColumnConstraints(nullable=c.mode != "REQUIRED"),
            )
            for c in columns
        ]
    )


@cache
def _daily(start: date, timezone: str) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone=timezone)


@cache
def _same_day() -> dg.TimeWindowPartitionMapping:
    # A pipeline may start before another one that it reads; those days have nothing to wait for.
    return dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def _kind(step: Step) -> str:
    return "sql" if isinstance(step.spec, BigQueryStep) else step.spec.format


def _rejected(rejection: Rejection) -> dg.AssetsDefinition:
    served = (
        f"The last accepted version ({rejection.last_accepted[:12]}) is served meanwhile."
        if rejection.last_accepted
        else "No version of it was ever accepted: it has no assets."
    )
    problems = [problem.render() for problem in rejection.problems]
    listed = "\n".join(f"- `{problem}`" for problem in problems)
    description = f"**Configuration rejected.** {served}\n\n{listed}\n\nNext: correct it, then `convergence validate`."
    # A rejected folder may have any name; Dagster's keys and groups may not.
    name = re.sub(r"[^A-Za-z0-9_]", "_", rejection.tenant_id)
    if name != rejection.tenant_id:
        name += "_" + hashlib.sha256(rejection.tenant_id.encode()).hexdigest()[:8]
    key = dg.AssetKey([name, "config"])

    # An asset that can be run, and harmlessly, so that `key:tenant/*` still selects a tenant on its last good version.
    @dg.asset(
        key=key,
        group_name=name,
        description=description,
        kinds={"yaml", "rejected"},
        tags={"rejected": "true"},
        metadata={"problems": dg.MetadataValue.json(problems)},
        check_specs=[dg.AssetCheckSpec("configuration_is_accepted", asset=key)],
    )
    def config() -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="configuration_is_accepted",
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"problems": dg.MetadataValue.json(problems)},
        )
        yield dg.MaterializeResult(asset_key=key)

    return config
