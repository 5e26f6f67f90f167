"""What the follower makes of runs: the index, the ledger's rows, the facts, on SQLite and Postgres."""

from datetime import date, timedelta

from following import World, agrees_with_dagster
from project import hourly

from convergence_assets.cli.run import Definitions
from convergence_assets.ledger.facts import Published, RunEnded

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
    assert world.follow().complete
    (found,) = world.index()
    assert (found.run_id, found.tenant_id, found.pipeline, found.status) == (run_id, "acme", "demo_costs", "succeeded")
    assert (found.trigger, found.first, found.last, found.attempt, found.rows_published) == ("manual", DAY, DAY, 1, 25)
    assert world.project.tenant.config_version.startswith(found.config_version or "?")
    written = world.write()
    assert not written.failed
    assert world.waiting() == 0
    agrees_with_dagster(world)
    assert world.logs("step, event, partition, `rows`") == [
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
    assert len(checks) == 7
