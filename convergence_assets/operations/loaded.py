"""What a code location has loaded, noted so that an incident can be held against what changed before it."""

from importlib.metadata import PackageNotFoundError, version

from convergence_assets.control.changes import Changes
from convergence_assets.control.store import ControlStore
from convergence_assets.tenancy.description import described
from convergence_assets.tenancy.model import TenantRegistry

_PACKAGES = (
    "convergence-assets", "dagster", "duckdb", "google-cloud-bigquery", "great-expectations", "pandas", "sqlglot",
)  # fmt: skip


def note_loaded(store: ControlStore, registry: TenantRegistry) -> None:
    """Note every tenant, and every package, that is another than when it was last noted. Raises `ControlError`."""
    tenants = {tenant.tenant_id: described(tenant) for tenant in registry.tenants.values()}
    Changes(store).loaded(tenants, _versions())


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
