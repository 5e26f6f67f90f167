"""The classes that `dagster.yaml` names. These paths stay wherever the classes are defined.

The paths of former releases (FORMER_MODULES) still lead to the same classes.
"""

from typing import Any

FORMER_MODULES = (
    "convergence_assets.operations.dagster_logs",
    "convergence_assets.operations.launcher",
    "convergence_assets.dagster_storage",
)
"""Where former releases had the classes."""


def __getattr__(name: str) -> Any:
    # Imported when it is named: a process that has its storage elsewhere, or launches no run, needs one of them.
    match name:
        case "Instance":
            from convergence_assets.dagster_internals.instance import Instance

            return Instance
        case "SqliteStorage":
            from convergence_assets.dagster_internals.sqlite_storage import SqliteStorage

            return SqliteStorage
        case "WarmRunLauncher":
            from convergence_assets.run_launcher.launcher import WarmRunLauncher

            return WarmRunLauncher
        case "CloudRunLauncher":
            from convergence_assets.run_launcher.cloud_run import CloudRunLauncher

            return CloudRunLauncher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
