"""How much a tenant may run."""

from typing import TYPE_CHECKING

from convergence_assets.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from convergence_assets.control.run_requests import Quota


def quota_of(tenant: Tenant) -> "Quota":
    """What the tenant's plan allows."""
    # It imports SQLAlchemy, which the load of definitions does without.
    from convergence_assets.control.run_requests import Quota

    plan = tenant.plan
    return Quota(tenant.tenant_id, tenant.timezone, plan.max_concurrent_runs, plan.daily_runs, plan.monthly_runs)
