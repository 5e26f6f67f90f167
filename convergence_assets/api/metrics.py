"""`/metrics`: what Prometheus scrapes. It names every tenant, so only this host and the operator may read it."""

from ipaddress import ip_address

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from convergence_assets.api.access import DeploymentDep, is_secret
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import not_found
from convergence_assets.api.http_metrics import REGISTRY
from convergence_assets.monitoring.metrics import Platform, Seen
from convergence_assets.settings import Settings

metrics = APIRouter(tags=["health"])


class Scraped:
    """One deployment's series, kept between scrapes."""

    def __init__(self, deployment: Deployment) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        # Asked for its names once registered, it would read the store before anybody scrapes.
        self._platform = Platform(lambda: _seen(deployment))

    def text(self) -> bytes:
        platform_registry = CollectorRegistry(auto_describe=False)
        platform_registry.register(self._platform)
        return generate_latest(REGISTRY) + generate_latest(self._registry) + generate_latest(platform_registry)


@metrics.get("/metrics", include_in_schema=False)
def scrape(request: Request, deployment: DeploymentDep) -> Response:
    """In Prometheus's text format. From elsewhere with `Authorization: Bearer` and CONVERGENCE_METRICS_TOKEN."""
    if not _may_read(request, deployment.settings):
        raise not_found()
    scraped: Scraped = request.app.state.scraped
    return Response(scraped.text(), media_type=CONTENT_TYPE_LATEST)


def _may_read(request: Request, settings: Settings) -> bool:
    try:
        if request.client is not None and ip_address(request.client.host).is_loopback:
            return True
    except ValueError:  # a Unix socket has no address
        pass
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    return is_secret(token, settings.metrics_token) or is_secret(token, settings.admin_key)


def _seen(deployment: Deployment) -> Seen:
    loaded = deployment.served.loaded()
    tenants = loaded.registry.tenants
    return Seen(deployment.store, tenants, [target for tenant_id in tenants for target in loaded.targets(tenant_id)])
