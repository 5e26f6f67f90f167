"""Where all rooms meet: what `dagster dev`, the daemon and every run load."""

import dagster as dg

from convergence_assets.assets.factory import build_assets
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants


@dg.definitions
def defs() -> dg.Definitions:
    """Definitions of every tenant, or of CONVERGENCE_ONLY_TENANTS alone.

    With CONVERGENCE_STRICT=1 any rejected file fails the load.
    """
    settings = Settings.from_env()
    registry = load_tenants(settings)
    if settings.strict and registry.problems:
        raise dg.DagsterInvalidDefinitionError("\n".join(problem.render() for problem in registry.problems))
    return dg.Definitions(assets=build_assets(registry, settings), executor=dg.in_process_executor)
