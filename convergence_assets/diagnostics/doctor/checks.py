"""Every check by its name, in the order in which a person would look."""

from collections.abc import Collection, Mapping

from convergence_assets.diagnostics.doctor import platform, surroundings
from convergence_assets.diagnostics.doctor.examine import Check

CHECKS: Mapping[str, Check] = {
    "settings": platform.settings,
    "home": platform.home,
    "disk": surroundings.disk,
    "tenant folder": platform.tenant_folder,
    "tenant files": platform.tenant_files,
    "state files": platform.state,
    "warehouse files": platform.warehouse_files,
    "control store": platform.control_store,
    "Dagster": platform.dagster_storage,
    "database connections": platform.database_connections,
    "Google credentials": surroundings.credentials,
    "warehouse": surroundings.warehouse,
    "permissions": surroundings.permissions,
    "service accounts": surroundings.service_accounts,
    "shared sources": surroundings.shared_sources,
    "clock": surroundings.clock,
    "daemon": platform.daemon,
    "run queue": platform.run_queue,
    "code location": platform.code_location,
    "table versions": platform.table_versions,
    "alert routes": platform.alert_routes,
    "API keys": platform.api_keys,
    "API port": surroundings.api_port,
}

AFTER: Mapping[str, Collection[str]] = {
    "tenant files": ("tenant folder",),
    "warehouse": ("Google credentials",),
    "permissions": ("Google credentials", "warehouse", "tenant folder"),
    "service accounts": ("Google credentials", "warehouse", "tenant folder"),
    "shared sources": ("Google credentials", "warehouse", "tenant folder"),
    "control store": ("state files",),
    "Dagster": ("state files",),
    "clock": ("Dagster",),
    "database connections": ("control store", "Dagster"),
    "daemon": ("Dagster",),
    "run queue": ("Dagster",),
    "code location": ("tenant folder",),
    "table versions": ("tenant folder", "control store"),
    "alert routes": ("tenant folder", "control store"),
    "API keys": ("control store",),
}
"""By check, those that it depends on."""
