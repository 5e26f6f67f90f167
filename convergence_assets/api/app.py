"""The application: its routes over one deployment."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from convergence_assets.api import errors
from convergence_assets.api.admin import admin
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.executions import executions
from convergence_assets.api.health import health
from convergence_assets.api.metrics import Scraped, metrics
from convergence_assets.api.middleware import AccessMiddleware
from convergence_assets.api.onboarding import onboarding
from convergence_assets.api.pipelines import pipelines

_ABOUT = """
A tenant's key (`x-api-key`) sees that tenant alone; what is another one's does not exist for it.
Moments are UTC in ISO 8601, partitions are days of the tenant's timezone.
Every error is `{error, message, next}`. `RateLimit-*` headers say how many requests are left.
"""


def build_app(deployment: Deployment) -> FastAPI:
    """The routes of the HTTP service, over what `deployment` has open."""
    # Its /docs and /redoc load nothing from elsewhere.
    app = FastAPIOffline(
        title="Convergence", version=version("convergence-assets"), summary="Multi-tenant cloud-cost pipelines",
        description=_ABOUT, redirect_slashes=False,
    )  # fmt: skip
    app.state.deployment = deployment
    app.state.scraped = Scraped(deployment)
    for router in (pipelines, executions, admin, onboarding, health, metrics):
        app.include_router(router)
    errors.install(app)
    app.add_middleware(AccessMiddleware, deployment=deployment)
    return app
