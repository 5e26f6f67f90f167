"""What a code location has loaded and refused, noted so that an incident can be held against it."""

from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

from convergence_assets.control import audit
from convergence_assets.control.audit import Deed
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
"""Lines of a tenant's at a time: its files may have thousands of mistakes."""


def note_loaded(store: ControlStore, registry: TenantRegistry) -> None:
    """Note every tenant, and every package, that is another than when it was last noted; and in the audit log, what a
    tenant's files ask for that is somebody else's. Raises `ControlError`."""
    tenants = {tenant.tenant_id: described(tenant) for tenant in registry.tenants.values()}
    Changes(store).loaded(tenants, _versions())
    _note_refusals(store, registry)


def _note_refusals(store: ControlStore, registry: TenantRegistry) -> None:
    """A line for each that was not noted of late: every load meets them again, until the file is corrected."""
    now = store.now()
    for tenant_id, rejection in registry.rejected.items():
        asked = [p for p in rejection.problems if p.reaches_out][:_OF_A_TENANT]
        if not asked:
            continue
        deeds = [Deed("tenant files", "tenant.reach_out", "refused", tenant_id, audit.fitted(_told(p))) for p in asked]
        with store.write("audit of tenant files") as connection:
            known = {found.deed.subject for found in audit.noted(connection, tenant_id, since=now - _SAID_AGAIN_AFTER)}
            for deed in deeds:
                if deed.subject not in known:
                    audit.note(connection, deed, now)


def _told(problem: Problem) -> str:
    return f"{problem.file.rpartition('/')[2]}:{problem.line or 1}: {problem.message}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
