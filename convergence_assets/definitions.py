"""Where all rooms meet: what `dagster dev`, the daemon and every run load."""

import gc

import dagster as dg

from convergence_assets.assets.factory import build_assets
from convergence_assets.operations.dagster_logs import set_up_logs
from convergence_assets.operations.sensors import build_sensors
from convergence_assets.scheduling.launching import build_scheduling
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants


@dg.definitions
def defs() -> dg.Definitions:
    """Definitions of every tenant, or of CONVERGENCE_ONLY_TENANTS alone.

    With CONVERGENCE_STRICT=1 any rejected file fails the load. With CONVERGENCE_SHARD=k/n the assets and schedules are
    those of one part of the tenants; all files are read all the same, since tenants may conflict, and the first part
    watches over all runs.
    """
    set_up_logs()
    settings = Settings.from_env()
    registry = load_tenants(settings)
    if settings.strict and registry.problems:
        raise dg.DagsterInvalidDefinitionError("\n".join(problem.render() for problem in registry.problems))
    part = registry.part(settings.shard.holds)
    # A thousand tenants are two million objects that live as long as the process: collecting among them is a fifth of
    # the load, and never finds anything.
    gc.disable()
    try:
        assets = build_assets(part, settings)
    finally:
        gc.freeze()
        gc.enable()
    if settings.only_tenants:  # a run's worker: it asks for nothing
        return dg.Definitions(assets=assets, executor=dg.in_process_executor)
    schedules, sensors = build_scheduling(part, settings)
    if settings.shard.number == 1:
        sensors += build_sensors(registry, settings)
    return dg.Definitions(assets=assets, executor=dg.in_process_executor, schedules=schedules, sensors=sensors)
