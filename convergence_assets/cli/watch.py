"""`convergence watch`: the watchdog, a process of its own that alerts when the daemon itself does not work."""

import logging
import time
from typing import Annotated

import typer

from convergence_assets.cli.instance import open_instance
from convergence_assets.logs.process import set_up
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

BUDGET_SECONDS = 40.0
_log = logging.getLogger(__name__)


def watch(
    once: Annotated[
        bool, typer.Option("--once", help="One look, for cron; exit code 1 for a dead daemon or location")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks")] = 30,
    reload: Annotated[
        bool, typer.Option("--reload", help="Have a code location that does not answer load its code anew")
    ] = False,
) -> None:
    """Monitor the daemon, its code location, sensors and schedules from a process of its own, and send their alerts.

    Run it beside the daemon and not in it: a container of its own, a systemd unit, or cron with --once.

    Example: convergence watch --every 30
    """
    from convergence_assets.monitoring import code_servers
    from convergence_assets.monitoring.monitor import Monitor

    settings = Settings.from_env()
    set_up(files=True)
    with open_instance(settings) as instance:
        while True:
            # Read again: routes and tenants change while this runs.
            monitor = Monitor.of(load_tenants(settings), settings)
            summary, is_alive = monitor.guard(instance, BUDGET_SECONDS)
            _log.log(logging.INFO if is_alive else logging.ERROR, "%s", summary)
            if reload:
                silent = [location for location, _ in code_servers.still_silent(monitor.servers())]
                for line in code_servers.reload(silent):
                    _log.warning("%s", line)
            if once:
                raise typer.Exit(0 if is_alive else 1)
            time.sleep(every)
