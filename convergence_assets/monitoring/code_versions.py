"""Records what a code location has loaded and refused, to compare incidents with."""

from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

from convergence_assets.control import audit
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.change_log import Changes
from convergence_assets.control.store import ControlStore
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.description import described
from convergence_assets.tenancy.tenant import TenantRegistry

_PACKAGES = (
    "convergence-assets", "dagster", "duckdb", "google-cloud-bigquery", "great-expectations", "pandas", "sqlglot",
)  # fmt: skip
_SAID_AGAIN_AFTER = timedelta(days=7)
_OF_A_TENANT = 50
"""The limit of lines per tenant at a time: its files may have thousands of mistakes."""


def note_loaded(store: ControlStore, registry: TenantRegistry) -> None:
    """Record every tenant, and every package, that has changed since it was last recorded; and in the audit log, what
    a tenant's files request that belongs to others. Raises `ControlError`."""
    tenants = {tenant.tenant_id: described(tenant) for tenant in registry.tenants.values()}
    Changes(store).record_load(tenants, _versions())
    _note_refusals(store, registry)


def _note_refusals(store: ControlStore, registry: TenantRegistry) -> None:
    """One line for each that was not recorded recently: every load finds them again, until the file is corrected."""
    now = store.now()
    for tenant_id, rejection in registry.rejected.items():
        refused = [p for p in rejection.problems if p.reaches_out][:_OF_A_TENANT]
        if not refused:
            continue
        entries = [
            AuditEntry("tenant files", "tenant.reach_out", "refused", tenant_id, audit.fitted(_refusal_text(p)))
            for p in refused
        ]
        with store.write("audit of tenant files") as connection:
            noted = {
                recorded.entry.subject
                for recorded in audit.recorded_entries(connection, tenant_id, since=now - _SAID_AGAIN_AFTER)
            }
            for entry in entries:
                if entry.subject not in noted:
                    audit.record_entry(connection, entry, now)


def _refusal_text(problem: Problem) -> str:
    return f"{problem.file.rpartition('/')[2]}:{problem.line or 1}: {problem.message}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
