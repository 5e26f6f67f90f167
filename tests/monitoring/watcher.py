"""What the sensors do, in a loop that the test kills: with a tenth of the waits, and nothing else changed."""

from datetime import timedelta

import dagster as dg

from convergence_assets.alerting import dispatch
from convergence_assets.control import outbox
from convergence_assets.monitoring.monitor import Monitor
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants


def main() -> None:
    dispatch.GROUP_WAIT, outbox.LEASE = timedelta(seconds=0.5), timedelta(seconds=3)
    settings = Settings.from_env()
    watching = Monitor.of(load_tenants(settings), settings)
    with dg.DagsterInstance.get() as instance:
        while True:
            watching.follow(instance, 5)
            watching.alert(instance, 15)


if __name__ == "__main__":
    main()
