"""Which tenant keeps a dataset that several claim: the one that had it, then the one of its name, then the first."""

from collections.abc import Callable, Iterable, Mapping

from convergence_assets.tenancy.tenant import Tenant


def conflicts(
    claiming: Iterable[Tenant], served: Mapping[str, Tenant], accepted: Callable[[str], Tenant | None]
) -> dict[str, Tenant]:
    """By the id of every tenant in `claiming` that loses its dataset, the tenant that keeps it.

    `served` are tenants on their last accepted version, whose datasets are not up for claims; `accepted` gives the
    last accepted version of a tenant.
    """
    holders: dict[str, list[Tenant]] = {}
    for tenant in served.values():
        holders.setdefault(tenant.dataset.lower(), []).append(tenant)
    by_dataset: dict[str, list[Tenant]] = {}
    for tenant in claiming:
        by_dataset.setdefault(tenant.dataset.lower(), []).append(tenant)
    lost: dict[str, Tenant] = {}
    for dataset, tenants in by_dataset.items():
        holding = holders.get(dataset, [])
        if len(tenants) > 1:
            tenants.sort(key=lambda t: (not _had(t, accepted(t.tenant_id)), t.tenant_id != dataset, t.tenant_id))
        for tenant in tenants:
            holder = next((other for other in holding if share(tenant, other)), None)
            if holder:
                lost[tenant.tenant_id] = holder
            else:
                holding.append(tenant)
    return lost


def share(one: Tenant, other: Tenant) -> bool:
    """Whether two tenants' tables lie in one dataset; a tenant that names no project may be in any."""
    same_project = one.project == other.project or one.project is None or other.project is None
    return same_project and one.dataset.lower() == other.dataset.lower()


def _had(tenant: Tenant, before: Tenant | None) -> bool:
    return before is not None and share(tenant, before)
