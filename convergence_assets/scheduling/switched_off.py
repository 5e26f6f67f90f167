"""Schedules that were switched off in Dagster, each for the tenants of its own code location only."""

from collections.abc import Callable

from convergence_assets.dagster_internals import automation_states
from convergence_assets.dagster_internals.automation_states import Recorded
from convergence_assets.scheduling.schedule_names import schedule_name
from convergence_assets.scheduling.targets import Target
from convergence_assets.settings import Shard


def switched_off(instance: Recorded) -> Callable[[Target], bool]:
    """Whether a pipeline's schedule is switched off in the code location that has the tenant.

    Where no location's name shows its part of the tenants, it is off if all of them have switched it off.
    """
    locations = [
        (Shard.of_location(name), states) for name, states in automation_states.schedule_states(instance).items()
    ]

    def is_off(target: Target) -> bool:
        name = schedule_name(*target.schedule)
        states = [(part, states[name]) for part, states in locations if name in states]
        of_tenant = [off for part, off in states if part is not None and part.holds(target.tenant_id)]
        unnamed = [off for part, off in states if part is None]
        return any(of_tenant) or (bool(unnamed) and not of_tenant and all(unnamed))

    return is_off
