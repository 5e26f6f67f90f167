"""The environment that a test's own process starts in."""

import os


def clean_environment() -> dict[str, str]:
    """This process's variables without those that say which platform, project or Dagster instance is meant."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("CONVERGENCE_", "GCP_", "DAGSTER_"))}
