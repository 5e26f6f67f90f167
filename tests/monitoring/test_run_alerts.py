"""Events of runs as incidents: raised once, with the right weight, and ended by what is published."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from convergence_assets.control.partition_states import PendingPartition, write_outstanding
from convergence_assets.control.remediations import Part, Remediations, key
from convergence_assets.ledger.run_events import QuotaRefused
from convergence_assets.monitoring.conditions import released_quotas
from tests.monitoring.watched import DAY, Watched, checks_failed
from tests.postgres.postgres_stores import postgres_store


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    if request.param == "sqlite":
        return Watched.at(tmp_path / "home")
    server = request.getfixturevalue("postgres")
    return Watched.at(tmp_path / "home", postgres_store(server))


def test_a_failure_names_the_run_its_class_and_the_remedy_and_ends_when_the_day_is_published(watched: Watched) -> None:
    run = watched.run("run1")
    watched.observe(watched.ended(run, "failed", "access_denied", "no permission on dataset x"))
    assert watched.open() == [("run_failed", "critical", "2026-03-10")]
    incident = watched.incidents()[0]
    assert "run1" in incident.happened
    assert "no permission on dataset x" in incident.happened
    assert incident.cause == "access_denied"
    assert incident.runbook == "run-failed-access-denied"
    watched.later(10)
    again = watched.run("run2")
    watched.observe(*watched.publish(again, DAY), watched.ended(again, "succeeded"))
    assert watched.open() == []
    assert watched.incidents()[0].resolution == "published by run run2"


def test_what_may_pass_by_itself_is_a_warning_until_it_has_failed_three_times(watched: Watched) -> None:
    for attempts, severity in ((0, "warning"), (1, "warning"), (3, "critical")):
        with watched.store.write() as connection:
            write_outstanding(
                connection, [PendingPartition("acme", "demo_costs", DAY, "due", "failed", watched.now, attempts)]
            )
        watched.observe(watched.ended(watched.run(f"run{attempts}"), "failed", "unavailable", "503"))
        assert watched.open() == [("run_failed", severity, "2026-03-10")]
    assert watched.incidents()[0].count == 3


def test_a_run_that_published_a_part_before_it_failed_does_not_end_its_own_incident(watched: Watched) -> None:
    run = watched.run("run1")
    watched.observe(*watched.publish(run, DAY, tables=("lines",)), watched.ended(run, "failed", "invalid_query"))
    assert watched.open() == [("run_failed", "critical", "2026-03-10")]


def test_the_good_days_of_a_failed_range_count_and_its_bad_ones_end_it_when_they_come(watched: Watched) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    run = watched.run("run1", days[0], days[2])
    watched.observe(*watched.publish(run, days[0], days[2]), watched.ended(run, "failed", "invalid_query"))
    assert watched.open() == [("run_failed", "critical", "2026-03-10...2026-03-12")]
    watched.later(5)
    again = watched.run("run2", days[1])
    watched.observe(*watched.publish(again, days[1]))
    assert watched.open() == []


def test_a_failure_that_is_learned_of_after_its_repair_is_told_to_nobody(watched: Watched) -> None:
    run = watched.run("run1")
    failed = watched.ended(run, "failed", "invalid_query")
    watched.later(5)
    again = watched.run("run2")
    published = watched.publish(again, DAY)
    watched.observe(*published)
    watched.observe(failed)
    assert watched.open() == []


def test_every_held_back_day_of_a_table_is_an_incident_of_one_cause(watched: Watched) -> None:
    days = [DAY + timedelta(days=n) for n in range(4)]
    run = watched.run("run1", days[0], days[3])
    failed = checks_failed(run, "critical", days[1], days[3], names=("cost_is_possible", "day_is_known"))
    watched.observe(failed, watched.ended(run, "failed", "quality_failed"))
    assert watched.open() == [
        ("quality_failed", "critical", "2026-03-11"),
        ("quality_failed", "critical", "2026-03-13"),
    ]
    assert {i.cause for i in watched.incidents()} == {"cost_is_possible,day_is_known"}
    assert "9000" in watched.incidents()[0].happened
    watched.later(5)
    again = watched.run("run2", days[1])
    watched.observe(*watched.publish(again, days[1], tables=("lines",)))
    assert watched.open() == [("quality_failed", "critical", "2026-03-13")]


def test_a_warning_is_published_and_lasts_until_another_run_publishes_without_it(watched: Watched) -> None:
    run = watched.run("run1")
    watched.observe(checks_failed(run, "warning"), *watched.publish(run, DAY), watched.ended(run, "succeeded"))
    assert watched.open() == [("quality_degraded", "warning", "2026-03-10")]
    watched.later(5)
    again = watched.run("run2")
    watched.observe(checks_failed(again, "warning"), *watched.publish(again, DAY))
    assert watched.open() == [("quality_degraded", "warning", "2026-03-10")]
    watched.later(5)
    third = watched.run("run3")
    watched.observe(*watched.publish(third, DAY))
    assert watched.open() == []


def test_a_failed_check_of_severity_info_is_recorded_only(watched: Watched) -> None:
    run = watched.run("run1")
    watched.observe(checks_failed(run, "info"), watched.ended(run, "succeeded"))
    assert watched.incidents() == []


@pytest.mark.parametrize("error_class", ["locked", "duplicate_request"])
def test_a_run_that_left_the_work_to_another_one_is_no_incident(watched: Watched, error_class: str) -> None:
    watched.observe(watched.ended(watched.run("run1"), "failed", error_class))
    assert watched.incidents() == []


def test_a_cancelled_run_is_told_of_as_information_and_a_stuck_one_by_its_own_alert_alone(watched: Watched) -> None:
    watched.observe(watched.ended(watched.run("run1"), "canceled", "canceled", "terminated by a person"))
    assert watched.open() == [("run_canceled", "info", "2026-03-10")]
    part = Part("acme", "demo_costs", date(2026, 3, 12), date(2026, 3, 12))
    with watched.store.write(key("run2")) as connection:
        Remediations(watched.store).begin(connection, "run2", "alerted", "no_progress", part)
    watched.observe(watched.ended(watched.run("run2", date(2026, 3, 12)), "canceled", "canceled"))
    watched.observe(watched.ended(watched.run("run2", date(2026, 3, 12)), "failed", "run_failure"))
    assert watched.open() == [("run_canceled", "info", "2026-03-10")]


def test_a_run_without_a_partition_ends_with_the_next_one_that_succeeds(watched: Watched) -> None:
    watched.observe(watched.ended(watched.run("run1", None), "failed", "run_failure"))
    assert watched.open() == [("run_failed", "critical", None)]
    watched.later(5)
    watched.observe(watched.ended(watched.run("run2", None), "succeeded"))
    assert watched.open() == []


def test_a_statement_refused_for_a_quota_is_the_projects_incident_until_nothing_was_for_an_hour(
    watched: Watched,
) -> None:
    run = watched.run("run1")
    watched.observe(QuotaRefused(run, "lines", "quota_exceeded", "Quota exceeded: too many partition modifications"))
    watched.observe(QuotaRefused(watched.run("run2"), "totals", "rate_limited", "too many requests"))
    (incident,) = watched.incidents()
    assert (incident.kind, incident.severity, incident.tenant_id, incident.count) == ("quota_near", "warning", None, 2)
    assert "acme/demo_costs/totals, run run2: too many requests" in incident.happened
    for minutes, there in ((59, True), (2, False)):
        watched.later(minutes)
        with watched.store.read() as connection:
            assert (released_quotas(connection, watched.now) == []) is there
