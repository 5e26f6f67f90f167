"""A day without rows is a warning until it is late; other failed checks stay what they are."""

from datetime import date, timedelta

import pytest

from convergence_assets.control.incidents import Incident
from convergence_assets.ledger.run_events import ChecksFailed
from tests.monitoring.watched import DAY, Watched, checks_failed

EMPTY = ("partition_is_not_empty",)


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched.at(tmp_path_factory.mktemp("home"))


def no_rows(watched: Watched, run_id: str, *days: date) -> list[Incident]:
    run = watched.run(run_id, days[0], days[-1])
    watched.observe(checks_failed(run, "critical", *days, names=EMPTY), watched.ended(run, "failed", "no_data"))
    return watched.incidents()


def test_it_is_a_warning_that_names_the_source_and_critical_once_the_day_is_late(watched: Watched) -> None:
    (incident,) = no_rows(watched, "run1", DAY)
    assert (incident.kind, incident.severity, incident.partition) == ("no_data", "warning", "2026-03-10")
    assert "in source acme_export.bills" in incident.happened
    watched.later(60 * 5)
    (incident,) = no_rows(watched, "run2", DAY)
    assert (incident.kind, incident.severity) == ("no_data", "critical")
    watched.later(5)
    again = watched.run("run3", DAY)
    watched.observe(*watched.publish(again, DAY, tables=("lines",)))
    assert watched.open() == []


def test_of_a_range_each_day_is_told_by_what_stopped_it(watched: Watched) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    run = watched.run("run1", days[0], days[2])
    both = checks_failed(run, "critical", days[1], names=EMPTY)
    wrong = checks_failed(run, "critical", days[2])
    assert isinstance(both, ChecksFailed)
    assert isinstance(wrong, ChecksFailed)
    held_back = (*both.held_back, *wrong.held_back)
    watched.observe(ChecksFailed(run, "lines", "critical", (*both.checks, *wrong.checks), held_back))
    assert watched.open() == [("no_data", "warning", "2026-03-11"), ("quality_failed", "critical", "2026-03-12")]


def test_a_new_tenant_whose_export_is_not_there_yet_begins_without_a_critical_incident(watched: Watched) -> None:
    run = watched.run("run1", DAY)
    watched.observe(watched.ended(run, "failed", "not_found", "dataset acme_export does not exist"))
    assert watched.open() == [("run_failed", "warning", "2026-03-10")]
    watched.later(60 * 5)
    again = watched.run("run2", DAY)
    watched.observe(watched.ended(again, "failed", "not_found", "dataset acme_export does not exist"))
    assert watched.open() == [("run_failed", "critical", "2026-03-10")]


def test_a_table_that_goes_missing_later_is_critical_at_once(watched: Watched) -> None:
    watched.publish(watched.run("run0", DAY - timedelta(days=1)), DAY - timedelta(days=1))
    run = watched.run("run1", DAY)
    watched.observe(watched.ended(run, "failed", "not_found", "table acme_export.bills does not exist"))
    assert watched.open() == [("run_failed", "critical", "2026-03-10")]
