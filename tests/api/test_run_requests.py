"""Days that a tenant asks for: what the planner then does, and what is refused."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from convergence_assets.control import audit, partition_states
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.publications import Publications
from convergence_assets.control.run_requests import insert_request
from convergence_assets.scheduling.capacity import Launch
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.requesting import RequestedRun
from convergence_assets.scheduling.targets import Targets, targets_of
from tests.api.service import DAY, OTHER, OTHER_PIPELINE, Service, indexed

RUNS = "/api/v1/pipelines/demo_costs/runs"
YESTERDAY = datetime.now(ZoneInfo("Europe/Berlin")).date() - timedelta(days=1)


class Daemon:
    """The planner, as the catch-up sensor calls it; `found` is what Dagster says of its requests."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.found: dict[str, RequestedRun] = {}
        targets = targets_of(service.deployment.served.loaded().registry.tenants.values())
        self._targets = Targets([target for target in targets if target.tenant_id == "acme"])
        # It has come through every day before, so that what is asked for is all there is to do.
        with service.deployment.store.write() as connection:
            for target in self._targets.by_name.values():
                through = target.due_through(service.deployment.store.now())
                done = partition_states.Progress(target.start_date, through, through)
                partition_states.write_progress(connection, target.name, done, service.deployment.store.now())
        self._planner = Planner(service.deployment.store, self._targets, lambda requests: self.found)

    def tick(self) -> list[Launch]:
        return self._planner.catch_up(self._targets.schedules)

    def publish(self, launch: Launch, run_id: str) -> None:
        """The launch's run takes its request, publishes its days and succeeds."""
        store, days = self._service.deployment.store, [launch.first]
        publications = Publications(store)
        for name in ("lines", "totals"):
            publications.record(
                "acme", "demo_costs", name, dict.fromkeys(days, 1), run_id=run_id,
                read_through=publications.newest_version(),
            )  # fmt: skip
        self.found[launch.key] = RequestedRun(run_id, "succeeded")
        self._service.index(indexed(run_id, first=launch.first, last=launch.last, created_at=store.now()))


@pytest.fixture
def daemon(fresh: Service) -> Daemon:
    return Daemon(fresh)


def state(service: Service, request_id: str) -> dict[str, Any]:
    answer = service.get(f"/api/v1/requests/{request_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_day_that_is_asked_for_gets_a_run_and_the_request_says_which(fresh: Service, daemon: Daemon) -> None:
    answer = fresh.post(RUNS, {"partition": "2026-04-02"})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["state"], body["run_id"], body["partition_start"]) == ("waiting", None, "2026-04-02")
    again = fresh.post(RUNS, {"partition": "2026-04-02"})
    assert (again.status_code, again.json()["request_id"]) == (202, body["request_id"]), "it waits already"
    (launch,) = daemon.tick()
    assert (launch.first, launch.last) == (date(2026, 4, 2), date(2026, 4, 2))
    (key,) = fresh.deployment.keys.all("acme")
    assert (launch.trigger, launch.asked_by) == ("api", key.key_id)
    assert daemon.tick() == []
    fresh.index(indexed("run-1", status="running", first=launch.first, last=launch.last,
                        created_at=fresh.deployment.store.now()))  # fmt: skip
    found = state(fresh, body["request_id"])
    assert (found["state"], found["run_id"]) == ("running", "run-1")
    refused = fresh.post(RUNS, {"partition": "2026-04-02"})
    assert (refused.status_code, refused.json()["run_id"]) == (409, "run-1")
    daemon.publish(launch, "run-1")
    daemon.tick()
    found = state(fresh, body["request_id"])
    assert (found["state"], found["run_id"], found["waiting"]) == ("done", "run-1", [])
    with fresh.deployment.store.read() as connection:
        entries = [
            noted.entry for noted in audit.recorded_entries(connection, "acme") if noted.entry.action == "run.trigger"
        ]
    assert [entry.actor.startswith("key_") for entry in entries] == [True]


def test_a_published_day_is_made_once_more_as_often_as_it_is_asked_for(fresh: Service, daemon: Daemon) -> None:
    keys = set()
    for number in range(4):
        answer = fresh.post(RUNS, {"partition": "2026-04-02"})
        assert answer.status_code == 202, answer.text
        (launch,) = daemon.tick()
        keys.add(launch.key)
        daemon.publish(launch, f"run-{number}")
        # Until the planner has seen the publication it would take it for the answer to the next request.
        early = fresh.post(RUNS, {"partition": "2026-04-02"})
        assert (early.status_code, early.json()["error"]) == (409, "not_seen_yet")
        assert early.headers["Retry-After"] == "30"
        daemon.tick()
    assert len(keys) == 4


def test_days_never_asked_for_go_together_and_days_that_were_go_alone(fresh: Service, daemon: Daemon) -> None:
    span = {"first": "2026-04-02", "last": "2026-04-05"}
    assert fresh.post(RUNS, span).status_code == 202
    (launch,) = daemon.tick()
    assert (launch.first, launch.last) == (date(2026, 4, 2), date(2026, 4, 5))
    daemon.found[launch.key] = RequestedRun("run-1", "failed")
    fresh.index(indexed("run-1", status="failed", dagster_status="FAILURE", first=launch.first, last=launch.last))
    daemon.tick()
    for _ in range(2):
        answer = fresh.post(RUNS, span)
        assert answer.status_code == 202, answer.text
    seen: list[Launch] = []
    for number in range(4):  # the plan of this tenant allows one older day at a time
        (one,) = daemon.tick()
        seen.append(one)
        daemon.publish(one, f"alone-{number}")
    assert [one.first for one in seen] == [date(2026, 4, day) for day in (2, 3, 4, 5)]
    daemon.tick()
    assert state(fresh, answer.json()["request_id"])["state"] == "done"


def test_a_lock_or_a_queued_run_is_in_the_way(fresh: Service) -> None:
    lock = Locks(fresh.deployment.store).acquire(
        Claim("acme", "demo_costs", date(2026, 4, 1), date(2026, 4, 3)), "holds"
    )
    refused = fresh.post(RUNS, {"partition": "2026-04-02"})
    assert (refused.status_code, refused.json()["error"], refused.json()["run_id"]) == (409, "already_running", "holds")
    assert fresh.post(RUNS, {"partition": "2026-04-04"}).status_code == 202
    Locks(fresh.deployment.store).release([lock.fence])
    fresh.index(
        indexed("waits", status="queued", dagster_status="QUEUED", first=date(2026, 4, 2), last=date(2026, 4, 9))
    )
    refused = fresh.post(RUNS, {"first": "2026-04-01", "last": "2026-04-02"})
    assert (refused.status_code, refused.json()["run_id"]) == (409, "waits")
    own = fresh.post(f"/api/v1/pipelines/{OTHER_PIPELINE}/runs", {"partition": "2026-04-02"}, OTHER)
    assert own.status_code == 202, "another tenant is not held up"


def test_over_the_plan_is_refused_with_the_time_to_come_back(fresh: Service) -> None:
    store = fresh.deployment.store
    with store.write() as connection:
        for number in range(99):
            insert_request(connection, f"used-{number}", Claim("acme", "demo_costs", DAY, DAY), "manual", store.now())
    days = {"first": "2026-03-10", "last": "2026-03-11"}
    refused = fresh.post(RUNS, days)
    assert (refused.status_code, refused.json()["error"]) == (429, "over_plan")
    assert "these days take 2 runs, and 1 are left of the day" in refused.json()["message"]
    assert 0 < int(refused.headers["Retry-After"]) <= 25 * 3600
    assert fresh.post(RUNS, {"partition": "2026-04-02"}).status_code == 202
    with store.write() as connection:
        insert_request(connection, "used-99", Claim("acme", "demo_costs", DAY, DAY), "manual", store.now())
    refused = fresh.post(RUNS, {"partition": "2026-04-03"})
    assert (refused.status_code, refused.json()["error"]) == (429, "over_plan")
    with store.read() as connection:
        assert [row.day for row in partition_states.all_outstanding(connection)] == [date(2026, 4, 2)], (
            "nothing half begun"
        )


def test_a_pipeline_that_is_paused_says_by_whom(fresh: Service) -> None:
    partition_states.Pauses(fresh.deployment.store).pause("acme", None, "anna", "the bills are wrong")
    refused = fresh.post(RUNS, {"partition": "2026-04-02"})
    assert (refused.status_code, refused.json()["error"]) == (409, "paused")
    assert "anna" in refused.json()["message"]
    assert "the bills are wrong" in fresh.get("/api/v1/pipelines").json()["pipelines"][0]["paused"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"partition": "2026-02-28"}, "begins on 2026-03-01"),
        ({"partition": str(YESTERDAY + timedelta(days=1))}, "not over yet"),
        ({"partition": "9999-12-31"}, "not over yet"),
        ({"first": "2026-04-02", "last": "2026-04-01"}, "`last` is before `first`"),
        ({"first": "2026-04-02"}, "say `partition`"),
        ({"partition": "2026-04-02", "first": "2026-04-02", "last": "2026-04-03"}, "say `partition`"),
        ({}, "say `partition`"),
        ({"partition": "2026-04-02", "tenant": OTHER}, "tenant"),
        ({"partition": "soon"}, "partition"),
        ([], "body"),
    ],
)  # fmt: skip
def test_days_that_cannot_be_are_refused(fresh: Service, content: object, words: str) -> None:
    answer = fresh.post(RUNS, content)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["message"]


def test_yesterday_may_be_asked_for(fresh: Service) -> None:
    assert fresh.post(RUNS, {"partition": str(YESTERDAY)}).status_code == 202


def test_a_failed_run_is_repeated_for_the_days_it_did_not_publish(fresh: Service, daemon: Daemon) -> None:
    fresh.index(
        indexed("broke", status="failed", dagster_status="FAILURE", first=date(2026, 4, 2), last=date(2026, 4, 4))
    )
    publications = Publications(fresh.deployment.store)
    for name in ("lines", "totals"):
        rows = {date(2026, 4, 3): 1}
        publications.record(
            "acme", "demo_costs", name, rows, run_id="broke", read_through=publications.newest_version()
        )
    daemon.tick()
    answer = fresh.post("/api/v1/executions/broke/retry")
    assert answer.status_code == 202, answer.text
    assert answer.json()["retry_of"] == "broke"
    assert [day["partition"] for day in answer.json()["waiting"]] == ["2026-04-02", "2026-04-04"]
    running = indexed("runs", status="running", dagster_status="STARTED", ended_at=None)
    fresh.index(running)
    refused = fresh.post("/api/v1/executions/runs/retry")
    assert (refused.status_code, refused.json()["error"]) == (409, "not_over")
    fresh.index(indexed("nowhere", status="failed", first=None, last=None))
    assert fresh.post("/api/v1/executions/nowhere/retry").json()["error"] == "not_repeatable"


def test_a_run_that_published_everything_has_nothing_to_be_repeated(fresh: Service, daemon: Daemon) -> None:
    publications = Publications(fresh.deployment.store)
    for name in ("lines", "totals"):
        publications.record(
            "acme", "demo_costs", name, {DAY: 1}, run_id="whole", read_through=publications.newest_version()
        )
    daemon.tick()
    fresh.index(indexed("whole"))
    refused = fresh.post("/api/v1/executions/whole/retry")
    assert (refused.status_code, refused.json()["error"]) == (409, "nothing_to_retry")
