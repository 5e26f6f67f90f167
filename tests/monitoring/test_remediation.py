"""The remedy of a stuck run: every step once, whoever dies in between, and the days requested again within limits."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import pytest

from convergence_assets.control import partition_states
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.remediations import Part, Remediations
from convergence_assets.control.run_requests import Requests, attempts_at
from convergence_assets.control.workers import Workers
from convergence_assets.monitoring.remediation import STEPS, Case, Remediation, StepName
from convergence_assets.monitoring.stuck import Activity, Stuck
from convergence_assets.process import this_process
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.requesting import RequestedRun
from convergence_assets.scheduling.targets import Target, Targets, targets_of
from tests.dagster_homes import run_of
from tests.monitoring.watched import DAY, Watched

LINES, TOTALS = (dg.AssetKey(["acme", "demo_costs", name]) for name in ("lines", "totals"))


class Killed(BaseException):
    """The process of the remedy dies."""


def dead_run(watched: Watched, instance: dg.DagsterInstance, first: date = DAY, last: date | None = None) -> str:
    """A run that Dagster takes for started, whose process is gone and whose lock nobody gave back."""

    @dg.asset(key=LINES)
    def lines() -> None: ...

    @dg.asset(key=TOTALS)
    def totals() -> None: ...

    job = dg.Definitions(assets=[lines, totals]).resolve_implicit_global_asset_job_def()
    last = last or first
    days = {"dagster/partition": str(first)} if first == last else {
        "dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last),
    }  # fmt: skip
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags=days, asset_selection=frozenset([LINES, TOTALS])
    )
    gone = replace(this_process(), started="1")
    Workers(watched.store).record(run.run_id, gone)
    Locks(watched.store, gone).acquire(Claim("acme", "demo_costs", first, last), run.run_id)
    return run.run_id


def stuck(watched: Watched, run_id: str, first: date = DAY, last: date | None = None) -> Stuck:
    part = Part("acme", "demo_costs", first, last or first)
    return Stuck(Activity(run_id, "STARTED", (part,), watched.now, watched.now, gone=True), "dead", watched.now, None)


def remediation(watched: Watched, instance: dg.DagsterInstance) -> Remediation:
    return Remediation(instance, watched.store, watched.project.settings, watched.tenants)


def planner_target(watched: Watched) -> Target:
    return replace(targets_of([watched.project.tenant])[0], paused=False)


def test_a_dead_run_is_failed_its_lock_freed_its_day_asked_for_and_all_of_it_told(
    watched: Watched, instance: dg.DagsterInstance
) -> None:
    run_id = dead_run(watched, instance)
    remedy = remediation(watched, instance)
    case = remedy.begin(stuck(watched, run_id), request_again=2)
    report = remedy.run(case)
    assert [line.split(": ")[1] for line in report] == list(STEPS[1:])
    assert remedy.is_closed(case)
    assert run_of(instance, run_id).status == dg.DagsterRunStatus.FAILURE
    assert Locks(watched.store).all() == []
    with watched.store.read() as connection:
        (row,) = partition_states.all_outstanding(connection)
    assert (row.day, row.state) == (DAY, "due")
    assert run_id in row.reason
    (incident,) = watched.incidents()
    assert (incident.kind, incident.cause, incident.count) == ("run_stuck", "dead", 1)
    assert "2026-03-10 requested again" in incident.done
    events = [r.event_log_entry.dagster_event for r in instance.get_records_for_run(run_id).records]
    log = [event.message or "" for event in events if event]
    assert sum(line.startswith("convergence remediation:") for line in log) == len(STEPS)


def test_a_run_that_was_asked_to_end_and_whose_process_is_gone_is_canceled_and_nobody_is_told(
    watched: Watched, instance: dg.DagsterInstance
) -> None:
    run_id = dead_run(watched, instance)
    instance.report_run_canceling(run_of(instance, run_id))
    remedy = remediation(watched, instance)
    case = remedy.begin(replace(stuck(watched, run_id), kind="canceled"), request_again=2)
    outcomes = [line.split(": ")[1:] for line in remedy.run(case)]
    assert [step for step, *_ in outcomes] == list(STEPS[1:])
    assert ["jobs_cancelled", "no warehouse job was running"] in outcomes
    assert run_of(instance, run_id).status == dg.DagsterRunStatus.CANCELED
    assert Locks(watched.store).all() == []
    with watched.store.read() as connection:
        assert list(partition_states.all_outstanding(connection)) == []
    assert watched.incidents() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_whoever_dies_at_a_step_the_next_one_goes_on_and_takes_no_step_twice(
    watched: Watched, instance: dg.DagsterInstance, step: StepName, when: str
) -> None:
    run_id = dead_run(watched, instance)
    dying = remediation(watched, instance)
    act = dying._take_step

    def dies(requests: StepName, case: Case) -> str:
        if requests == step and when == "before":
            raise Killed
        outcome = act(requests, case)
        if requests == step:
            raise Killed
        return outcome

    dying._take_step = dies  # type: ignore[method-assign,assignment]  # it is called by position
    case = dying.begin(stuck(watched, run_id), request_again=2)
    with pytest.raises(Killed):
        dying.run(case)
    again = remediation(watched, instance)
    assert again.run(again.begin(stuck(watched, run_id), request_again=2)) == [], "somebody may still be at it"
    watched.later(4)
    report = again.run(again.begin(stuck(watched, run_id), request_again=2))
    assert report[0].split(": ")[1] == step
    assert again.is_closed(case)
    assert [i.count for i in watched.incidents()] == [1]
    with watched.store.read() as connection:
        assert len(partition_states.all_outstanding(connection)) == 1


def test_a_day_is_asked_for_again_so_often_a_day_and_no_more(watched: Watched, instance: dg.DagsterInstance) -> None:
    outcomes = []
    for _ in range(4):
        run_id = dead_run(watched, instance)
        remedy = remediation(watched, instance)
        case = remedy.begin(stuck(watched, run_id), request_again=2)
        remedy.run(case)
        outcomes.append(Remediations(watched.store).of([run_id])[run_id]["requested_again"].outcome)
        watched.later(60)
    assert [("not requested" in outcome) for outcome in outcomes] == [False, False, True, True]
    watched.later(25 * 60)
    run_id = dead_run(watched, instance)
    remedy = remediation(watched, instance)
    remedy.run(remedy.begin(stuck(watched, run_id), request_again=2))
    assert "requested again" in Remediations(watched.store).of([run_id])[run_id]["requested_again"].outcome


def test_days_of_a_stuck_range_are_asked_for_one_by_one_under_keys_of_their_own_and_published_ones_not(
    watched: Watched, instance: dg.DagsterInstance
) -> None:
    last = DAY + timedelta(days=2)
    target = planner_target(watched)
    watched.now = target.due_at(last) + timedelta(hours=1)
    planner = Planner(watched.store, Targets([replace(target, start_date=DAY)]), lambda requests: found)
    found: dict[str, RequestedRun] = {}
    for _ in range(2):
        run_id = dead_run(watched, instance, DAY, last)
        watched.publish(watched.run(run_id, DAY, last), DAY)
        remedy = remediation(watched, instance)
        remedy.run(remedy.begin(stuck(watched, run_id, DAY, last), request_again=5))
        launches = []
        for _ in range(4):
            launches += planner.catch_up([target.schedule])
            watched.later(1)
        assert sorted((launch.first, launch.last) for launch in launches) == [
            (DAY + timedelta(days=n), DAY + timedelta(days=n)) for n in (1, 2)
        ]
        for launch in launches:
            Requests(watched.store).take(launch.key, launch.claim, f"r{launch.key}", None, target.quota, lambda _: None)
            found[launch.key] = RequestedRun(f"r{launch.key}", "failed")
    with watched.store.read() as connection:
        claim = Claim("acme", "demo_costs", last, last)
        assert attempts_at(connection, claim, 0) >= 2


def test_a_run_that_succeeds_while_it_is_being_ended_is_not_asked_for_again(
    watched: Watched, instance: dg.DagsterInstance
) -> None:
    run_id = dead_run(watched, instance)
    remedy = remediation(watched, instance)
    case = remedy.begin(stuck(watched, run_id), request_again=2)
    run = run_of(instance, run_id)
    instance.report_dagster_event(
        dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name, message="it made it"
        ),
        run_id,
    )
    report = remedy.run(case)
    assert any("it had ended by itself" in line for line in report)
    assert any("not requested again: it succeeded" in line for line in report)
    with watched.store.read() as connection:
        assert partition_states.all_outstanding(connection) == []
