"""Schedules that somebody has switched off in Dagster, each for the tenants of its own code location alone."""

from collections.abc import Callable

import dagster as dg

from convergence_assets import dagster_compat
from convergence_assets.scheduling.launching import schedule_name
from convergence_assets.scheduling.targets import Target
from convergence_assets.settings import Shard


def switched_off(instance: dg.DagsterInstance) -> Callable[[Target], bool]:
    """Whether a pipeline's schedule is switched off in the code location that has the tenant.

    Where no location's name tells which part of the tenants it has, it is where every one of them has it switched off.
    """
    locations = [(Shard.of_location(name), states) for name, states in dagster_compat.schedule_states(instance).items()]

    def is_off(target: Target) -> bool:
        name = schedule_name(*target.schedule)
        states = [(part, states[name]) for part, states in locations if name in states]
        own = [off for part, off in states if part is not None and part.holds(target.tenant_id)]
        unnamed = [off for part, off in states if part is None]
        return any(own) or (bool(unnamed) and not own and all(unnamed))

    return is_off
