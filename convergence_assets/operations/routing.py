"""The alert routes of tenant files, as alerting takes them."""

from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.tenancy.model import AlertRoute, TenantRegistry


def routes_of(registry: TenantRegistry) -> Routes:
    """A tenant that says nothing of alerts has the platform's routes, so that one cause is one message there."""
    own = {tenant_id: tenant.alert_routes for tenant_id, tenant in registry.tenants.items()}
    return Routes(
        by_tenant={tenant_id: _routes(routes) for tenant_id, routes in own.items() if routes != registry.alert_routes},
        platform=_routes(registry.alert_routes),
    )


def _routes(declared: tuple[AlertRoute, ...]) -> tuple[Route, ...]:
    return tuple(Route(route.severities, route.to.resolve) for route in declared)
