"""The instance's class path in a dagster.yaml of former releases."""

from convergence_assets.dagster_internals.instance import Instance

__all__ = ["Instance"]
