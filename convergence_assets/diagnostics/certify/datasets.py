"""Tenants' datasets and tables: location, expiry, columns, labels, and what the accounts may do with them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.diagnostics.certify.project import RETRY_SECONDS, ProjectSetup
from convergence_assets.diagnostics.doctor.examine import Finding
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.bigquery.labels import MANAGED
from convergence_assets.warehouse.bigquery.tables import schema_of
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.schema import SHARED_PREFIX, STAGING_PREFIX, Dataset, TableRef
from convergence_assets.warehouse.schema_diff import added_columns

if TYPE_CHECKING:
    from google.cloud import bigquery

_DAY_MS = 86_400_000
_TABLE_PERMISSIONS = (
    "bigquery.tables.delete", "bigquery.tables.getData", "bigquery.tables.update", "bigquery.tables.updateData",
)  # fmt: skip


def locations(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether each tenant's datasets and sources are where its jobs run: a job reads and writes one location."""
    name, wrong = "dataset location", 0
    for tenant in setup.tenants:
        own = Dataset(tenant.dataset, tenant.project)
        existing = setup.dataset(own)
        location = tenant.location or (existing.location if existing else None)
        for dataset in (own, *(replace(own, name=prefix + own.name) for prefix in (STAGING_PREFIX, SHARED_PREFIX))):
            found = setup.dataset(dataset)
            if found and location and found.location.upper() != location.upper():
                wrong += 1
                seen = (
                    f"{tenant.tenant_id}: dataset {setup.shown(dataset)} is in {found.location}, its jobs run in "
                    f"{location}"
                )
                yield Finding(name, "broken", seen, _other_location(tenant, found.location))
        for dataset in sorted({_dataset_of(table) for source in tenant.sources for table in source.tables}, key=str):
            found = setup.dataset(dataset)
            if found and location and found.location.upper() != location.upper():
                wrong += 1
                seen = (
                    f"{tenant.tenant_id}: its source {setup.shown(dataset)} is in {found.location}, its jobs run in "
                    f"{location}, and no job reads another location"
                )
                copy = f"copy the source to {location} (a scheduled dataset copy), or: "
                yield Finding(name, "broken", seen, copy + _other_location(tenant, found.location))
    if not wrong:
        yield Finding(name, "ok", f"datasets and sources of {len(setup.tenants)} tenants are where their jobs run")


def _dataset_of(table: str) -> Dataset:
    return Dataset.of(TableRef.parse(table))


def _other_location(tenant: Tenant, location: str) -> str:
    return (
        f"set `bigquery: {{location: {location}}}` in tenants/{tenant.tenant_id}/tenant.yaml; or name another dataset "
        "there, which the next run makes"
    )


def expiry(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether published days stay: datasets and tables that BigQuery empties by itself."""
    name, wrong = "expiry", 0
    for tenant in setup.tenants:
        own = Dataset(tenant.dataset, tenant.project)
        for finding in (*_of_dataset(setup, tenant, own), *_of_tables(setup, tenant)):
            wrong += 1
            yield Finding(name, "broken", *finding)
    if not wrong:
        yield Finding(name, "ok", "no published day ends by itself, but where a pipeline declares it")


def _of_dataset(setup: ProjectSetup, tenant: Tenant, dataset: Dataset) -> Iterator[tuple[str, str]]:
    found = setup.dataset(dataset)
    shown = setup.shown(dataset)
    if found and found.default_table_expiration_ms:
        days = found.default_table_expiration_ms / _DAY_MS
        yield (
            f"{tenant.tenant_id}: every table of dataset {shown} is deleted {days:g} days after it was made",
            f"`bq update --default_table_expiration 0 {shown}`; in a project without billing (a sandbox) it cannot be "
            "switched off",
        )
    if found and found.default_partition_expiration_ms:
        days = found.default_partition_expiration_ms / _DAY_MS
        yield (
            f"{tenant.tenant_id}: every new table of dataset {shown} loses its days after {days:g} days",
            f"`bq update --default_partition_expiration 0 {shown}`",
        )


def _of_tables(setup: ProjectSetup, tenant: Tenant) -> Iterator[tuple[str, str]]:
    for ref, schema, table in setup.tables(tenant):
        shown = f"{setup.shown(Dataset.of(ref))}.{ref.table}"
        if table.expires:
            yield (
                f"{tenant.tenant_id}: table {shown} is deleted on {table.expires:%Y-%m-%d %H:%M} UTC",
                f"`bq update --expiration 0 {shown}`",
            )
        declared = schema.partition_expiration_days
        kept = schema_of(table, schema).partition_expiration_days
        if kept is not None and kept != declared:
            lasting = "for ever" if declared is None else f"{declared} days"
            yield (
                f"{tenant.tenant_id}: table {shown} keeps its days {kept} days, and is declared to keep them {lasting}",
                "the pipeline's next run sets it; `convergence backfill` brings back days that are gone",
            )


def tables(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether the published tables have the declared columns, and the label by which they are known as ours."""
    name, checked, wrong = "tables", 0, 0
    for tenant in setup.tenants:
        for ref, schema, table in setup.tables(tenant):
            checked += 1
            try:
                added_columns(schema, schema_of(table, schema), ref)
            except SchemaMismatch as error:
                wrong += 1
                yield Finding(name, "broken", f"{tenant.tenant_id}: {error}", error.remedy)
            if not _is_labelled(table):
                wrong += 1
                seen = f"{tenant.tenant_id}: table {ref} has no label {_LABEL}: offboarding passes it over"
                shown = f"{setup.shown(Dataset.of(ref))}.{ref.table}"
                step = f"`bq update --set_label {_LABEL} {shown}`; the next run does so too"
                yield Finding(name, "warning", seen, step)
    if not wrong:
        yield Finding(name, "ok", f"{checked} tables have the declared columns and our label")


_LABEL = ":".join(next(iter(MANAGED.items())))


def _is_labelled(table: "bigquery.Table") -> bool:
    return MANAGED.items() <= dict(table.labels).items()


def table_permissions(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether the account that runs a tenant's pipelines may read, change and remove its tables."""
    name, checked, wrong = "table permissions", 0, 0
    for tenant in setup.tenants:
        account = tenant.service_account
        with open_bigquery(
            setup.settings, tenant.location, budget_seconds=RETRY_SECONDS, service_account=account
        ) as asked:
            for ref, _, _ in setup.tables(tenant):
                checked += 1
                missing = asked.administration.missing_permissions(ref, _TABLE_PERMISSIONS)
                if missing:
                    wrong += 1
                    who = account or asked.account or "this account"
                    seen = f"{tenant.tenant_id}: {who} lacks {', '.join(missing)} on table {ref}"
                    yield Finding(name, "broken", seen, _grant(setup, tenant, who))
    if not wrong:
        yield Finding(name, "ok", f"{checked} tables may be read, changed and removed")


def _grant(setup: ProjectSetup, tenant: Tenant, who: str) -> str:
    if tenant.service_account:
        return f"`convergence tenants onboard {tenant.tenant_id} --apply-grants` gives what it needs"
    dataset = Dataset(tenant.dataset, tenant.project)
    member = f"serviceAccount:{who}" if "@" in who else "the account"
    return f'GRANT `roles/bigquery.dataEditor` ON SCHEMA `{setup.shown(dataset).replace(":", ".")}` TO "{member}"'
