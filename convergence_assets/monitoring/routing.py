"""The alert routes of tenant files, for alerting."""

from functools import partial

from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.outgoing import SCHEMES, reads_files
from convergence_assets.pipelines.problems import listing
from convergence_assets.tenancy.tenant import AlertRoute, TenantRegistry


def routes_of(registry: TenantRegistry) -> Routes:
    """A tenant without alert settings has the platform's routes, so that one cause is one message there."""
    by_tenant = {tenant_id: tenant.alert_routes for tenant_id, tenant in registry.tenants.items()}
    return Routes(
        by_tenant={
            tenant_id: _routes(routes) for tenant_id, routes in by_tenant.items() if routes != registry.alert_routes
        },
        platform=_routes(registry.alert_routes),
    )


def _routes(declared: tuple[AlertRoute, ...]) -> tuple[Route, ...]:
    return tuple(Route(route.severities, partial(_address, route), route.private_hosts) for route in declared)


def _address(route: AlertRoute) -> str:
    """The address with its variables replaced. Raises `LookupError` where one is missing, or the result is invalid."""
    address = route.to.resolve()
    scheme = address.partition("://")[0].lower()
    if route.private_hosts is not None and scheme not in SCHEMES:
        raise LookupError(f"{scheme}:// is no address of a tenant's; expected {listing(SCHEMES)}")
    if route.private_hosts is not None and reads_files(address):
        raise LookupError("template=, pgp...= and wkd= of an address are none of a tenant's: they read files")
    return address
