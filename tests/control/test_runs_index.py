"""The runs index read by those who show runs: by id, by pipeline, in pages."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from convergence_assets.control import runs
from convergence_assets.control.runs import IndexedRun, RunFilter
from convergence_assets.control.store import ControlStore

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def made(
    number: int, tenant: str = "acme", pipeline: str = "bills", status: runs.RunStatus = "succeeded"
) -> IndexedRun:
    moment = BEGIN + timedelta(minutes=number // 2)  # two runs a minute are of one moment
    return IndexedRun(
        f"run-{number:04d}", tenant, pipeline, status, "SUCCESS", "schedule", None, date(2026, 3, 1), date(2026, 3, 2),
        "v1", 1, moment, moment, None, 5, 0, None, None, None, moment,
    )  # fmt: skip


@pytest.fixture
def store(url: str) -> ControlStore:
    return ControlStore(sa.make_url(url))


def test_pages_show_every_run_that_fits_once_the_newest_first(store: ControlStore) -> None:
    every = [made(n, "acme" if n % 3 else "globex", "bills" if n % 2 else "costs") for n in range(50)]
    every.append(made(7, "acme", "costs"))
    with store.write() as connection:
        runs.write_runs(connection, every)
    for run_filter in (
        RunFilter(),
        RunFilter("acme"),
        RunFilter("acme", "bills"),
        RunFilter(since=BEGIN + timedelta(minutes=10)),
    ):
        fitting = [
            r
            for r in every
            if run_filter.tenant_id in (None, r.tenant_id)
            and run_filter.pipeline in (None, r.pipeline)
            and r.created_at >= (run_filter.since or BEGIN)
        ]
        found: list[IndexedRun] = []
        after, pages = None, 0
        with store.read() as connection:
            while pages == 0 or after:
                page = runs.runs_page(connection, run_filter, 7, after)
                found += page.runs
                after, pages = page.next, pages + 1
        newest = sorted(fitting, key=lambda r: (r.created_at, r.run_id, r.tenant_id, r.pipeline), reverse=True)
        assert found == newest
        assert pages == -(-len(fitting) // 7)


def test_active_runs_and_the_latest_of_a_pipeline_are_found(store: ControlStore) -> None:
    every = [made(n, status="running" if n in (2, 9) else "queued" if n == 4 else "failed") for n in range(12)]
    with store.write() as connection:
        runs.write_runs(connection, every)
        runs.write_runs(connection, [every[0]])
    with store.read() as connection:
        assert [r.run_id for r in runs.active_runs(connection)] == ["run-0002", "run-0004", "run-0009"]
        assert runs.active_runs(connection, "globex") == []
        newest = runs.latest_run(connection, "acme", "bills")
        assert newest is not None
        assert newest.created_at == every[-1].created_at
        assert runs.latest_run(connection, "acme", "costs") is None
        assert runs.parts_of(connection, "run-0003") == [every[3]]
        assert [r.status for r in runs.runs_page(connection, RunFilter(statuses=["running"])).runs] == ["running"] * 2


def test_a_cursor_of_another_list_is_refused(store: ControlStore) -> None:
    with store.read() as connection, pytest.raises(ValueError, match="is no cursor of this list"):
        runs.runs_page(connection, RunFilter(), after="nonsense")
