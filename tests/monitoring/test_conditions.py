"""Conditions that last: raised once, again when they change, over when they are not found any more."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from convergence_assets.alerting.alert import Alert
from convergence_assets.control import partition_states
from convergence_assets.control.incidents import raise_alert
from convergence_assets.control.partition_states import Pauses, PendingPartition, Progress
from convergence_assets.ledger.write import Lag
from convergence_assets.monitoring import conditions
from convergence_assets.pipelines.problems import Problem
from convergence_assets.scheduling.targets import Target, targets_of
from convergence_assets.tenancy.tenant import Rejection, TenantRegistry
from tests.monitoring.watched import Watched

NAME = ("acme", "demo_costs")
TODAY = date(2026, 3, 20)


@pytest.fixture
def target(watched: Watched) -> Target:
    return replace(targets_of([watched.project.tenant])[0], paused=False)


def hold(watched: Watched, alerts: Iterable[Alert]) -> None:
    with watched.store.write() as connection:
        conditions.update_incidents(
            connection, ("partition_late", "config_rejected", "ledger_lag"), alerts, watched.now
        )


def late(watched: Watched, target: Target) -> list[Alert]:
    with watched.store.read() as connection:
        return list(conditions.late(connection, [target], watched.now))


def due(watched: Watched, target: Target, day: date, hours: float) -> None:
    watched.now = target.due_at(day) + timedelta(hours=hours)


def test_a_day_is_late_once_its_patience_is_over_and_until_it_is_published(watched: Watched, target: Target) -> None:
    first_seen = target.due_at(TODAY - timedelta(days=5))
    with watched.store.write() as connection:
        partition_states.write_progress(connection, NAME, Progress(target.start_date, TODAY), first_seen)
        partition_states.write_outstanding(
            connection, [PendingPartition(*NAME, TODAY, "due", "run r did not publish it", first_seen)]
        )
    due(watched, target, TODAY, 3.9)
    assert late(watched, target) == []
    due(watched, target, TODAY, 4.1)
    (found,) = late(watched, target)
    assert "run r did not publish it" in found.happened
    assert "240 minutes" in found.happened
    hold(watched, [found])
    watched.later(1)
    hold(watched, late(watched, target))
    assert [i.count for i in watched.incidents()] == [1], "a condition that lasts is not news"
    with watched.store.write() as connection:
        partition_states.delete_outstanding(connection, [PendingPartition(*NAME, TODAY, "due", "")])
    hold(watched, late(watched, target))
    assert watched.open() == []


def test_a_day_that_the_planner_has_not_even_looked_at_is_late_too(watched: Watched, target: Target) -> None:
    with watched.store.write() as connection:
        progress = Progress(target.start_date, TODAY - timedelta(days=2))
        partition_states.write_progress(connection, NAME, progress, target.due_at(TODAY - timedelta(days=5)))
    due(watched, target, TODAY, 5)
    (found,) = late(watched, target)
    assert found.title == "2 days of demo_costs are late"
    assert "not looked at yet" in found.happened


def test_the_backlog_of_a_new_tenant_is_not_late(watched: Watched, target: Target) -> None:
    due(watched, target, TODAY, 5)
    days = [target.start_date + timedelta(days=n) for n in range((TODAY - target.start_date).days + 1)]
    with watched.store.write() as connection:
        partition_states.write_progress(connection, NAME, Progress(target.start_date, TODAY), watched.now)
        partition_states.write_outstanding(
            connection, [PendingPartition(*NAME, day, "due", "never published", watched.now) for day in days]
        )
    assert late(watched, target) == []
    watched.now = target.due_at(TODAY + timedelta(days=1)) + timedelta(hours=5)
    (found,) = late(watched, target)
    assert found.title == "A day of demo_costs is late"


def test_what_is_paused_is_not_late(watched: Watched, target: Target) -> None:
    with watched.store.write() as connection:
        partition_states.write_progress(
            connection, NAME, Progress(target.start_date, TODAY - timedelta(days=3)), datetime(2026, 1, 1, tzinfo=UTC)
        )
    due(watched, target, TODAY, 5)
    assert late(watched, target)
    assert late(watched, replace(target, paused=True)) == []
    Pauses(watched.store).pause("acme", None, "me", "the export is being moved")
    assert late(watched, target) == []


def test_a_rejected_file_is_an_incident_until_it_is_right_and_worse_where_nothing_is_served(watched: Watched) -> None:
    problem = Problem("tenants/badco/tenant.yaml", 3, "timezon", "unknown key")
    never = TenantRegistry({}, {"badco": Rejection("badco", (problem,), None)})
    served = TenantRegistry({}, {"badco": Rejection("badco", (problem,), "abcdef0123456789")})
    hold(watched, conditions.rejected(served))
    assert watched.open() == [("config_rejected", "warning", None)]
    assert "tenants/badco/tenant.yaml:3" in watched.incidents()[0].happened
    hold(watched, conditions.rejected(never))
    assert watched.open() == [("config_rejected", "critical", None)]
    hold(watched, conditions.rejected(TenantRegistry({}, {})))
    assert watched.open() == []


def test_a_ledger_behind_is_a_warning_and_after_an_hour_critical(watched: Watched) -> None:
    for seconds, expected in ((300, []), (700, ["warning"]), (3700, ["critical"]), (5, [])):
        hold(watched, conditions.behind(Lag(seconds, seconds, {}, ())))
        assert [severity for _, severity, _ in watched.open()] == expected
    hold(watched, conditions.behind(Lag(700, 0, {"acme": 700, "other": 20}, ())))
    assert [i.tenant_id for i in watched.incidents() if i.resolved_at is None] == ["acme"]


def test_three_tenants_that_fail_by_the_warehouse_are_the_warehouses_incident(watched: Watched) -> None:
    def failing(tenant_id: str) -> Alert:
        return Alert(
            "run_failed", "warning", "t", "h", "d", "n", "r", tenant_id, "costs", "2026-03-10", cause="unavailable"
        )

    for n, tenant_id in enumerate(("one", "two", "three")):
        with watched.store.write() as connection:
            assert list(conditions.warehouse_away(connection)) == []
            raise_alert(connection, failing(tenant_id), watched.now)
        assert n < 3
    with watched.store.read() as connection:
        (found,) = conditions.warehouse_away(connection)
    assert (found.tenant_id, found.cause) == (None, "warehouse:unavailable")


def test_incidents_of_a_pipeline_that_is_gone_are_found(watched: Watched) -> None:
    gone = Alert("run_failed", "critical", "t", "h", "d", "n", "r", "acme", "an_old_one", "2026-03-10")
    with watched.store.write() as connection:
        raise_alert(connection, gone, watched.now)
        raise_alert(connection, replace(gone, pipeline="demo_costs"), watched.now)
        found = conditions.without_a_pipeline(connection, watched.tenants)
    assert [incident.pipeline for incident in found] == ["an_old_one"]
