"""What the follower makes of runs: the index, the ledger's rows, the run events; on Postgres too where it matters."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from convergence_assets.cli.run import Definitions
from convergence_assets.control import counters
from convergence_assets.control import runs as index
from convergence_assets.control.tables import ledger_rows
from convergence_assets.ledger.rebuild import reset_ledger
from convergence_assets.ledger.run_events import ChecksFailed, Published, QuotaRefused, RunEnded
from convergence_assets.ledger.run_reducer import OF_SEVERAL_TENANTS
from convergence_assets.warehouse.errors import NotFound, RateLimited
from tests.assets.project import hourly
from tests.ledger.following import Body, World, agrees_with_dagster, good, materialize, table

BERLIN = "Europe/Berlin"
DAY = date(2026, 3, 10)
WEEK = [DAY + timedelta(days=n) for n in range(7)]


def run(world: World, first: date, last: date) -> str:
    project = world.project
    return (
        Definitions(project.settings)
        .run(world.instance, project.tenant, project.tenant.pipelines[0], first, last)
        .run_id
    )


def test_a_run_that_published_stands_in_index_and_ledger_with_all_that_happened(world: World) -> None:
    world.project.load_bills(hourly(DAY, BERLIN, 1.25))
    run_id = run(world, DAY, DAY)
    done = world.follow()
    assert (done.complete, done.runs, done.run_events) == (True, 1, 3)
    assert done.events > 6 + 7
    (found,) = world.index()
    assert (found.run_id, found.tenant_id, found.pipeline, found.status) == (run_id, "acme", "demo_costs", "succeeded")
    assert (found.trigger, found.first, found.last, found.attempt, found.rows_published) == ("manual", DAY, DAY, 1, 25)
    assert world.project.tenant.config_version[:16] == found.config_version
    written = world.write()
    assert not written.failed
    assert world.waiting() == 0
    agrees_with_dagster(world)
    assert world.logs("step, event, `partition`, `rows`") == [
        ("lines", "step_started", "2026-03-10", None),
        ("lines", "published", "2026-03-10", 24),
        ("lines", "step_succeeded", "2026-03-10", None),
        ("totals", "step_started", "2026-03-10", None),
        ("totals", "published", "2026-03-10", 1),
        ("totals", "step_succeeded", "2026-03-10", None),
    ]
    assert [(f.table, f.days) for f in world.of_kind(Published)] == [("lines", (DAY,)), ("totals", (DAY,))]
    assert [(f.run.status, f.message) for f in world.of_kind(RunEnded)] == [("succeeded", None)]
    checks = world.project.read("SELECT * FROM acme.x_meta_data_quality_results")
    assert {(c["table_name"], c["passed"], c["published"], c["partition"]) for c in checks} == {
        ("lines", True, True, "2026-03-10"), ("totals", True, True, "2026-03-10"),
    }  # fmt: skip
    assert len(checks) == 8


def failing(error: BaseException, *, times: int = 1000, then: Body | None = None) -> Body:
    """Raises that often, then does what a good one does."""
    left = [times]

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        yield from (then or good())(context)

    return body


def test_a_range_with_a_bad_day_has_a_result_a_day_and_says_which_was_held_back(simple: World) -> None:
    bills = [row for day in WEEK for row in hourly(day, BERLIN, 9000.0 if day == WEEK[3] else 1.25)]
    simple.project.load_bills(bills)
    run(simple, WEEK[0], WEEK[-1])
    simple.follow()
    simple.write()
    agrees_with_dagster(simple)
    (found,) = simple.index()
    assert (found.status, found.partition, found.error_class) == ("failed", "2026-03-10...2026-03-16", "quality_failed")
    assert found.rows_published == 6 * 24
    assert found.error_message is not None
    assert "2026-03-13: cost_is_possible" in found.error_message
    results = simple.project.read(
        "SELECT check_name, `partition`, passed, published, unexpected_count FROM acme.x_meta_data_quality_results "
        "ORDER BY check_name, `partition`"
    )
    assert len(results) == 7 * 6
    bad = [(r["check_name"], r["partition"], r["unexpected_count"]) for r in results if not r["passed"]]
    assert bad == [("cost_is_plausible", "2026-03-13", 24), ("cost_is_possible", "2026-03-13", 24)]
    assert {r["partition"] for r in results if not r["published"]} == {"2026-03-13"}
    published = simple.logs("`partition`, `rows`", "event = 'published'")
    assert published == [(str(day), 24) for day in WEEK if day != WEEK[3]]
    critical, warning = sorted(simple.of_kind(ChecksFailed), key=lambda run_event: run_event.severity)
    assert [(c.name, c.partitions) for c in critical.checks] == [("cost_is_possible", ("2026-03-13",))]
    assert (critical.table, critical.held_back, warning.severity) == ("lines", ("2026-03-13",), "warning")
    assert [run_event.days for run_event in simple.of_kind(Published)] == [tuple(d for d in WEEK if d != WEEK[3])]
    (ended,) = simple.of_kind(RunEnded)
    assert (ended.table, ended.error_class, ended.message) == ("lines", "quality_failed", found.error_message)


def test_a_failed_run_is_told_by_what_its_first_failed_attempt_said(simple: World) -> None:
    errors = iter([NotFound("table a is not there"), ValueError("second: attempt")])

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        error = next(errors)
        if isinstance(error, NotFound):
            raise dg.Failure("tenant acme: table a is not there. Next: make it") from error
        raise error
        yield

    policy = dg.RetryPolicy(max_retries=1)
    run_id = materialize(simple, table("a", body, retry_policy=policy), table("b", good()))
    simple.follow()
    simple.write()
    agrees_with_dagster(simple)
    (ended,) = simple.of_kind(RunEnded)
    assert (ended.run.run_id, ended.table, ended.error_class) == (run_id, "a", "not_found")
    assert ended.message == "tenant acme: table a is not there. Next: make it"
    assert simple.logs("step, event, level, error_class, message", "step = 'a' AND event != 'step_started'") == [
        ("a", "retry", "WARNING", "not_found", "tenant acme: table a is not there. Next: make it"),
        ("a", "step_failed", "ERROR", "ValueError", "second: attempt"),
    ]
    assert all(isinstance(ms, int) and ms >= 0 for (ms,) in simple.logs("duration_ms", "event = 'step_failed'"))


def test_an_attempt_that_failed_is_forgotten_when_the_next_one_succeeds(simple: World) -> None:
    materialize(simple, table("a", failing(ValueError("once"), times=1), retry_policy=dg.RetryPolicy(max_retries=2)))
    simple.follow()
    (ended,) = simple.of_kind(RunEnded)
    assert (ended.run.status, ended.error_class, ended.message) == ("succeeded", None, None)


def test_a_statement_that_is_refused_for_a_quota_is_told_of_also_where_the_run_succeeds(simple: World) -> None:
    policy = dg.RetryPolicy(max_retries=1)
    body = failing(RateLimited("too many table operations"), times=1)
    run_id = materialize(simple, table("a", body, retry_policy=policy), table("b", good()))
    simple.follow()
    (refused,) = simple.of_kind(QuotaRefused)
    assert (refused.run.run_id, refused.table, refused.error_class) == (run_id, "a", "rate_limited")
    assert "too many table operations" in refused.message
    (ended,) = simple.of_kind(RunEnded)
    assert ended.run.status == "succeeded"


def test_a_run_without_tags_is_found_by_its_assets_and_has_a_row_a_pipeline(simple: World) -> None:
    bad = table("x", failing(KeyError("x")), pipeline="other")
    run_id = materialize(simple, table("a", good()), bad)
    foreign = dg.job(name="nothing")(lambda: None).execute_in_process(instance=simple.instance)
    simple.follow()
    assert foreign.success
    assert [(r.run_id, r.pipeline, r.status, r.trigger) for r in sorted(simple.index(), key=lambda r: r.pipeline)] == [
        (run_id, "demo_costs", "failed", "manual"), (run_id, "other", "failed", "manual"),
    ]  # fmt: skip
    assert {(f.run.pipeline, f.table, f.error_class) for f in simple.of_kind(RunEnded)} == {
        ("demo_costs", None, "KeyError"), ("other", "x", "KeyError"),
    }  # fmt: skip


def test_a_run_that_selects_no_assets_by_name_is_found_by_what_it_plans(world: World) -> None:
    asset = table("a", good())
    dg.materialize([asset], instance=world.instance, partition_key="2026-03-02", selection=None)
    world.follow()
    (found,) = world.index()
    assert (found.pipeline, found.partition, found.status) == ("demo_costs", "2026-03-02", "succeeded")


@pytest.mark.parametrize(
    ("tags", "trigger", "by"),
    [
        ({}, "manual", None),
        ({"convergence/trigger": "api", "user": "ann"}, "api", "ann"),
        ({"dagster/schedule_name": "at_0_6"}, "schedule", "at_0_6"),
        ({"convergence/trigger": "catch_up", "dagster/sensor_name": "catch_up"}, "catch_up", "catch_up"),
        ({"dagster/backfill": "abc"}, "backfill", "abc"),
    ],
)
def test_what_asked_for_a_run_is_told_from_its_tags(
    simple: World, tags: dict[str, str], trigger: str, by: str | None
) -> None:
    materialize(simple, table("a", good()), tags=tags | {"convergence/config_version": "v7"})
    simple.follow()
    (found,) = simple.index()
    assert (found.trigger, found.triggered_by, found.config_version) == (trigger, by, "v7")


def queued(world: World, *, parent: str | None = None, status: Any = dg.DagsterRunStatus.NOT_STARTED) -> dg.DagsterRun:
    """A run as the daemon has it before it begins."""
    asset = table("a", good())
    job = dg.Definitions(assets=[asset]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/parent_run_id": parent, "dagster/root_run_id": parent} if parent else {}
    return world.instance.create_run_for_job(
        job, asset_selection=frozenset(asset.keys), status=status, tags=tags | {"dagster/partition": "2026-03-01"},
        parent_run_id=parent, root_run_id=parent,
    )  # fmt: skip


def test_a_retry_of_a_retry_is_the_third_attempt(simple: World) -> None:
    first = materialize(simple, table("a", failing(ValueError("no"))))
    simple.follow()
    second = queued(simple, parent=first)
    third = queued(simple, parent=second.run_id)
    simple.follow()
    attempts = {run.run_id: (run.attempt, run.trigger, run.triggered_by) for run in simple.index()}
    assert attempts[third.run_id] == (3, "retry", second.run_id)
    assert attempts[first] == (1, "manual", None)


def test_a_run_is_followed_from_the_queue_to_its_end(world: World) -> None:
    run = queued(world)
    seen = []
    for change in (
        lambda: None,
        lambda: world.instance.report_dagster_event(_event(run, dg.DagsterEventType.RUN_STARTING), run.run_id),
        lambda: world.instance.report_dagster_event(_event(run, dg.DagsterEventType.RUN_START), run.run_id),
        lambda: world.instance.report_run_canceling(run),
        lambda: world.instance.report_run_canceled(run, "ann asked for its end"),
    ):
        change()
        world.follow()
        (found,) = world.index()
        seen.append((found.status, found.dagster_status))
    assert seen == [
        ("queued", "NOT_STARTED"), ("queued", "STARTING"), ("running", "STARTED"), ("running", "CANCELING"),
        ("canceled", "CANCELED"),
    ]  # fmt: skip
    assert (found.error_class, found.error_message) == ("canceled", "ann asked for its end")
    (ended,) = world.of_kind(RunEnded)
    assert (ended.run.status, ended.message) == ("canceled", "ann asked for its end")


def _event(run: dg.DagsterRun, kind: dg.DagsterEventType) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)


def test_a_run_whose_process_was_killed_is_no_longer_running_once_dagster_says_so(world: World) -> None:
    world.project.load_bills(hourly(DAY, BERLIN, 1.25))
    run = queued(world, status=dg.DagsterRunStatus.STARTED)
    world.follow()
    assert [r.status for r in world.index()] == ["running"]
    world.instance.report_run_failed(run, "its process is gone")
    world.settle()
    world.write()
    agrees_with_dagster(world)
    (ended,) = world.of_kind(RunEnded)
    assert (ended.run.status, ended.table, ended.message) == ("failed", None, "its process is gone")


def test_a_run_deleted_before_its_end_was_seen_is_closed_as_canceled(world: World) -> None:
    run = queued(world)
    world.follow()
    world.instance.delete_run(run.run_id)
    world.follow()
    (found,) = world.index()
    assert (found.status, found.error_class) == ("canceled", "deleted")
    assert found.error_message is not None
    assert "deleted" in found.error_message
    world.settle()
    assert [run_event.run.status for run_event in world.of_kind(RunEnded)] == ["canceled"]
    assert world.follow().complete


def test_what_was_done_about_a_stuck_run_stands_in_the_log(simple: World) -> None:
    run_id = materialize(simple, table("a", good()))
    run = simple.instance.get_run_by_id(run_id)
    assert run is not None
    simple.instance.report_engine_event("convergence remediation: jobs cancelled (2)", run)
    simple.follow()
    simple.write()
    assert simple.logs("event, level, message", "event = 'remediation'") == [
        ("remediation", "WARNING", "jobs cancelled (2)")
    ]


def test_why_a_run_is_stuck_is_kept_in_index_and_ledger(simple: World) -> None:
    run = queued(simple, status=dg.DagsterRunStatus.STARTED)
    simple.follow()
    with simple.store.write() as connection:
        (marked,) = index.mark_stuck(connection, run.run_id, "dead", simple.store.now())
    assert marked.stuck_reason == "dead"
    simple.instance.report_run_failed(run, "its process is gone")
    simple.settle()
    simple.write()
    agrees_with_dagster(simple)
    (row,) = simple.project.read("SELECT stuck_reason, status FROM acme.x_meta_pipeline_runs")
    assert row == {"stuck_reason": "dead", "status": "failed"}


def test_jobs_of_the_warehouse_are_told_once_a_step_with_what_they_cost(simple: World) -> None:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        jobs: list[dict[str, str | int | float | bool | None]] = [
            {"job": "j1", "kind": "stage", "seconds": 1.5, "bytes_billed": 10, "link": "https://x"},
            {"job": "j2", "kind": "copy", "seconds": 0.5, "bytes_billed": 20, "link": ""},
        ]
        counted = {key: 7 for key in context.partition_keys}  # noqa: C420
        yield dg.MaterializeResult(
            metadata={
                "rows_by_partition": counted, "bytes_billed": 30,
                "jobs": dg.MetadataValue.table([dg.TableRecord(job) for job in jobs]),
            }
        )  # fmt: skip

    tags = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-03"}
    materialize(simple, table("a", body), tags=tags, partition_key=None)
    simple.follow()
    simple.write()
    (found,) = simple.index()
    assert (found.bytes_billed, found.rows_published, found.partition) == (30, 21, "2026-03-01...2026-03-03")
    jobs = simple.logs("bigquery_job_id, bytes_billed, duration_ms", "event = 'job_submitted'")
    assert sorted(jobs) == [("j1", 10, 1500), ("j2", 20, 500)]
    published = simple.logs("`partition`, `rows`, bytes_billed", "event = 'published'")
    assert published == [("2026-03-01", 7, 30), ("2026-03-02", 7, 0), ("2026-03-03", 7, 0)]


def test_what_is_counted_of_events_is_what_the_ledger_holds_and_a_rebuild_counts_the_same(simple: World) -> None:
    materialize(simple, table("lines", good(3)))
    materialize(simple, table("lines", good(4)), partition_key="2026-03-02")
    simple.settle()
    with simple.store.read() as connection:
        counted = counters.read_counters(connection)
    assert counted["pipeline_runs"] == {("acme", "demo_costs", "succeeded"): 2}
    assert counted["pipeline_rows_published"] == {("acme", "demo_costs"): 7}
    assert counted["pipeline_run_duration_seconds_bucket"][("demo_costs", "+Inf")] == 2
    reset_ledger(simple.store)
    simple.settle()
    with simple.store.read() as connection:
        again = counters.read_counters(connection)
    assert {name: again[name] for name in ("pipeline_runs", "pipeline_rows_published")} == {
        name: counted[name] for name in ("pipeline_runs", "pipeline_rows_published")
    }


def test_what_one_tenants_part_of_a_run_said_is_not_told_of_anothers(simple: World) -> None:
    def broken(context: dg.AssetExecutionContext) -> Iterator[Any]:
        raise dg.Failure("acme's own secret trouble", {"error_class": "invalid_query"}, allow_retries=False)
        yield

    materialize(simple, table("a", broken), table("g", good(), tenant="globex"))
    simple.settle()
    ended_runs = {ended.run.tenant_id: ended for ended in simple.of_kind(RunEnded)}
    assert ended_runs["acme"].message == "acme's own secret trouble"
    assert (ended_runs["globex"].error_class, ended_runs["globex"].message) == ("step_failure", OF_SEVERAL_TENANTS)
    rows = {run.tenant_id: run for run in simple.index()}
    assert "secret" not in str(rows["globex"])
    with simple.store.read() as connection:
        waiting = connection.execute(sa.select(ledger_rows).where(ledger_rows.c.tenant_id == "globex")).all()
    assert waiting
    assert "secret" not in str(waiting)
