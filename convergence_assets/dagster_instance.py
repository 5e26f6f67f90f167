"""The classes that `dagster.yaml` names. These paths stay wherever the classes are defined.

The paths of former releases (`convergence_assets.operations.dagster_logs`, `convergence_assets.dagster_storage`,
`convergence_assets.operations.launcher`) still lead to the same classes.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Imported when it is named: a process that has its storage elsewhere, or launches no run, needs one of them.
    match name:
        case "Instance":
            from convergence_assets.operations.dagster_logs import Instance

            return Instance
        case "SqliteStorage":
            from convergence_assets.dagster_storage import SqliteStorage

            return SqliteStorage
        case "WarmRunLauncher":
            from convergence_assets.operations.launcher import WarmRunLauncher

            return WarmRunLauncher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
