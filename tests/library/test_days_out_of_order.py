"""An old day that is run out of the calendar's order: later days that its fees reach into are requested again."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from convergence_assets.cli.run import Definitions
from convergence_assets.control.lock_session import holding
from convergence_assets.demo.bills import hours_of
from convergence_assets.scheduling.late_data import ask_sources
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Targets, targets_of
from tests.dagster_homes import dagster_at
from tests.library.exported_rows import BERLIN, HOUR, assert_sums_are_exact, at, focus, load
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import FEE, TENANT

# Long before the days that are always asked about.
DAYS = [date(2026, 10, 10), date(2026, 10, 11)]


@pytest.mark.slow
def test_an_old_day_that_is_run_after_a_later_one_leaves_that_one_right_by_itself(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tenant = holding(platform.settings).store, platform.registry.tenants[TENANT]
    start = hours_of(DAYS[0], BERLIN)[0]
    load(platform, tmp_path, DAYS, [at(FEE, start, start + 48 * HOUR, cost=30.0, cost_at_list=30.0, credits=[])])
    [target] = [t for t in targets_of([tenant]) if t.pipeline == "gcp_billing"]
    target = replace(target, paused=False, start_date=DAYS[0])
    planner = Planner(store, Targets([target]), lambda requested: {})

    def run(day: date) -> None:
        with dagster_at(tmp_path / "dagster") as instance:
            assert Definitions(platform.settings).run(instance, tenant, tenant.pipelines[0], day, day).succeeded

    def requested(today: date) -> list[str]:
        """What is found on a day, once the planner has seen what was published."""
        monkeypatch.setattr(store, "now", lambda: datetime(today.year, today.month, today.day, 12, tzinfo=UTC))
        planner.catch_up([target.schedule])
        return ask_sources(store, platform.settings, [tenant], [target])

    monkeypatch.setattr(store, "now", lambda: datetime(2026, 12, 20, 12, tzinfo=UTC))
    run(DAYS[1])
    assert requested(date(2026, 12, 20)) == []
    run(DAYS[0])
    assert requested(date(2026, 12, 21)) == ["acme/gcp_billing 2026-10-11"]
    run(DAYS[1])
    assert requested(date(2026, 12, 22)) == []
    assert_sums_are_exact(platform, DAYS, focus(platform, DAYS, "*", "TRUE"))
