"""Every read-only check by its name: those of `doctor` that a project has to pass too, and those of the project."""

from collections.abc import Callable, Collection, Iterator, Mapping

from convergence_assets.diagnostics.certify import datasets, project_checks
from convergence_assets.diagnostics.certify.project import ProjectSetup
from convergence_assets.diagnostics.doctor.checks import CHECKS as OF_DOCTOR
from convergence_assets.diagnostics.doctor.examine import Finding

ProjectCheck = Callable[[ProjectSetup], Iterator[Finding]]

_SHARED = (
    "settings", "tenant folder", "tenant files", "control store", "Google credentials", "warehouse", "service accounts",
    "clock",
)  # fmt: skip
CHECKS: Mapping[str, ProjectCheck] = {
    **{name: OF_DOCTOR[name] for name in _SHARED},
    "project permissions": project_checks.permissions,
    "dataset location": datasets.locations,
    "expiry": datasets.expiry,
    "tables": datasets.tables,
    "table permissions": datasets.table_permissions,
    "queries": project_checks.queries,
    "quota": project_checks.quota,
    "jobs": project_checks.jobs,
}

_BIGQUERY = ("Google credentials", "warehouse", "tenant folder")
AFTER: Mapping[str, Collection[str]] = {
    "tenant files": ("tenant folder",),
    "warehouse": ("Google credentials",),
    "service accounts": _BIGQUERY,
    "clock": ("control store",),
    "project permissions": ("Google credentials", "tenant folder"),
    "dataset location": _BIGQUERY,
    "expiry": _BIGQUERY,
    "tables": _BIGQUERY,
    "table permissions": _BIGQUERY,
    "queries": _BIGQUERY,
    "quota": ("Google credentials", "tenant folder"),
    "jobs": ("Google credentials", "warehouse"),
}
"""By check, those that it depends on."""
