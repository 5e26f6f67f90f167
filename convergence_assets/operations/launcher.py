"""The run launcher's class path in a dagster.yaml of former releases."""

from convergence_assets.run_launcher.launcher import WarmRunLauncher

__all__ = ["WarmRunLauncher"]
