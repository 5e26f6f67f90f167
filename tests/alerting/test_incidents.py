"""An incident from its first sign to its end, on both stores."""

from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

from convergence_assets.alerting.dispatch import prune_alerts
from convergence_assets.alerting.routes import Routes
from convergence_assets.control import incidents, notifications, outbox
from convergence_assets.control.incidents import Incident, open_incidents, raise_alert, resolve_incident
from convergence_assets.control.tables import incidents as table
from tests.alerting.desk import Desk, failed, platform, to

DAY = 86400


@pytest.fixture
def desk(url: str) -> Desk:
    return Desk(url, Routes({}, ()))


def found(desk: Desk, **fields: str) -> list[Incident]:
    with desk.store.read() as connection:
        return list(open_incidents(connection, **fields))


def test_what_is_seen_again_is_the_same_incident_and_says_what_was_said_last(desk: Desk) -> None:
    desk.raise_(failed(table="daily_cost"))
    began = desk.now
    desk.pass_(60)
    desk.raise_(failed(table="daily_cost", happened="It failed again.", run_id="run-2", cause="busy"))
    (incident,) = found(desk)
    assert (incident.count, incident.opened_at, incident.last_seen_at) == (2, began, desk.now)
    assert (incident.happened, incident.run_id, incident.cause) == ("It failed again.", "run-2", "busy")
    assert (incident.tenant_id, incident.pipeline, incident.partition, incident.table) == (
        "acme", "gcp_billing", "2026-10-01", "daily_cost",
    )  # fmt: skip


def test_what_ended_and_is_seen_again_is_another_incident(desk: Desk) -> None:
    desk.raise_(failed())
    desk.resolve(failed())
    with desk.store.write() as connection:
        assert not resolve_incident(connection, failed().fingerprint, "again", desk.now)
    desk.pass_(1)
    desk.raise_(failed())
    assert [incident.count for incident in found(desk)] == [1]
    with desk.store.read() as connection:
        assert [i.resolution for i in incidents.all_incidents(connection)] == ["the partition is published", None]


def test_a_severity_rises_and_never_falls_and_a_rise_takes_back_an_acknowledgement(desk: Desk) -> None:
    desk.raise_(failed(severity="info"))
    desk.acknowledge(failed())
    desk.raise_(failed(severity="info"))
    assert found(desk)[0].acknowledged_by == "anna"
    desk.raise_(failed(severity="warning"))
    assert (found(desk)[0].severity, found(desk)[0].acknowledged_by) == ("warning", None)
    desk.raise_(failed(severity="critical"))
    desk.raise_(failed(severity="info"))
    assert found(desk)[0].severity == "critical"


def test_it_is_raised_with_whatever_else_the_transaction_does_or_not_at_all(desk: Desk) -> None:
    def fail() -> None:
        with desk.store.write() as connection:
            raise_alert(connection, failed(), desk.now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found(desk) == []


def test_threads_that_raise_one_condition_at_once_open_one_incident(desk: Desk) -> None:
    together = Barrier(8)

    def raise_it() -> None:
        together.wait()
        for _ in range(5):
            desk.raise_(failed())

    threads = [Thread(target=raise_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [incident.count for incident in found(desk)] == [40]


def test_they_are_found_by_kind_and_tenant(desk: Desk) -> None:
    desk.raise_(failed("acme"), failed("globex"), failed("acme", kind="quality_failed"), platform())
    assert {i.tenant_id for i in found(desk, kind="run_failed")} == {"acme", "globex"}
    assert {i.kind for i in found(desk, tenant_id="acme")} == {"run_failed", "quality_failed"}


def test_what_ended_long_ago_is_dropped_and_what_lasts_is_kept(desk: Desk) -> None:
    desk.routes = Routes({}, to("pagerduty+http://KEY@127.0.0.1:1"))
    desk.raise_(failed("acme"), failed("globex"))
    desk.settle()
    desk.resolve(failed("acme"))
    desk.decide()
    desk.pass_(89 * DAY)
    prune_alerts(desk.store, desk.routes)
    with desk.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 2
        assert len(outbox.destination_queues(connection)) == 1
    desk.pass_(2 * DAY)
    prune_alerts(desk.store, Routes({}, ()))
    with desk.store.read() as connection:
        assert [i.tenant_id for i in incidents.all_incidents(connection)] == ["globex"]
        assert outbox.destination_queues(connection) == [], "no route names the destination any more"
        assert len(notifications.open_notifications(connection)) == 1
