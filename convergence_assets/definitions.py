"""All definitions: what `dagster dev`, the daemon and every run load."""

import gc
from collections.abc import Mapping, Sequence
from functools import lru_cache

import dagster as dg

from convergence_assets.assets.factory import build_assets
from convergence_assets.assets.share_checks import build_share_checks
from convergence_assets.dagster_internals import location_snapshots
from convergence_assets.dagster_internals.instance import set_up_logs
from convergence_assets.memory import release_free_pages, release_large_blocks
from convergence_assets.monitoring.sensors import build_sensors
from convergence_assets.pipelines.problems import Problem
from convergence_assets.scheduling.launching import build_scheduling
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import TenantRegistry


@dg.definitions
def defs() -> dg.Definitions:
    """Definitions of every tenant, or of CONVERGENCE_ONLY_TENANTS alone.

    With CONVERGENCE_STRICT=1 any rejected file fails the load. With CONVERGENCE_SHARD=k/n the assets and schedules are
    those of one part of the tenants; all files are still read, since tenants may conflict, and the first part monitors
    all runs.
    """
    set_up_logs()
    settings = Settings.from_env()
    return _of_a_run(settings) if settings.only_tenants else _of_a_location(settings)


@lru_cache(maxsize=1)
def _of_a_run(settings: Settings) -> dg.Definitions:
    """What a run's worker loads: it launches no other runs. Dagster 1.13 calls it twice."""
    assets, _ = _assets(_registry(settings), settings)
    return dg.Definitions(assets=assets, executor=dg.in_process_executor)


def _of_a_location(settings: Settings) -> dg.Definitions:
    if location_snapshots.is_code_server():
        release_large_blocks()
        location_snapshots.compile_records()
        location_snapshots.snapshot_once(release_free_pages)
    registry = _registry(settings)
    part = registry.part(settings.shard.holds)
    assets, faulty = _assets(part, settings)
    registry, part = registry.set_aside(faulty), part.set_aside(faulty)
    schedules, sensors = build_scheduling(part, settings)
    checks: Sequence[dg.AssetChecksDefinition] = ()
    if settings.shard.number == 1:
        sensors += build_sensors(registry, settings)
        checks, daily = build_share_checks(registry, settings)
        schedules += daily
    return dg.Definitions(
        assets=assets, asset_checks=checks, executor=dg.in_process_executor, schedules=schedules,
        sensors=sensors,
    )  # fmt: skip


def _registry(settings: Settings) -> TenantRegistry:
    registry = load_tenants(settings)
    if settings.strict and registry.problems:
        raise dg.DagsterInvalidDefinitionError("\n".join(problem.render() for problem in registry.problems))
    return registry


def _assets(
    part: TenantRegistry, settings: Settings
) -> tuple[Sequence[dg.AssetsDefinition | dg.AssetSpec], Mapping[str, Problem]]:
    # A thousand tenants are two million objects that live as long as the process: garbage collection is a fifth of the
    # load, and never frees anything.
    gc.disable()
    try:
        return build_assets(part, settings)
    finally:
        gc.freeze()
        gc.enable()
