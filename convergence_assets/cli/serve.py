"""`convergence serve`: the HTTP API."""

import logging
from typing import Annotated

import typer

from convergence_assets.cli.instance import open_instance
from convergence_assets.logs.process import set_up
from convergence_assets.settings import Settings, SettingsError

_log = logging.getLogger(__name__)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0: every one")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Absent: API_PORT, else 8080")] = None,
) -> None:
    """Serve the HTTP API until the process is told to end; requests in flight are finished, exit code 0.

    CONVERGENCE_ADMIN_KEY opens the admin routes; REDIS_URL shares rate limits between processes, and
    CONVERGENCE_API_PER_MINUTE and CONVERGENCE_API_PER_HOUR set a tenant's. Behind a proxy FORWARDED_ALLOW_IPS has to
    name it: failures without a valid key are counted by client address.

    Example: convergence serve --port 8080
    """
    from convergence_assets.api.deployment import Deployment
    from convergence_assets.api.server import check_secrets
    from convergence_assets.api.server import serve as run

    set_up(files=True)
    settings = Settings.from_env()
    check_secrets(settings)
    if settings.admin_key is None:
        _log.warning("CONVERGENCE_ADMIN_KEY is not set: the admin routes answer 401")
    try:
        with open_instance(settings) as instance, Deployment.opened(settings, instance) as deployment:
            run(deployment, host, port or settings.api_port)
    except ValueError as error:
        raise SettingsError(str(error)) from None
