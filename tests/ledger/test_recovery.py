"""Nothing is lost, doubled or told twice: kills at every point, the warehouse away, deleted runs, a rebuild."""

import pickle
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage

from convergence_assets.control import runs as index
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.follow import Follower
from convergence_assets.ledger.rebuild import follow_to_the_end, reset_ledger
from convergence_assets.ledger.run_events import RunEnded, RunEvent
from convergence_assets.ledger.write import lag, write_ledger
from convergence_assets.warehouse.duckdb.files import DatasetLock, Layout
from convergence_assets.warehouse.errors import WarehouseUnavailable
from convergence_assets.warehouse.schema import Dataset
from tests.assets.project import Project, hourly
from tests.control_stores import sqlite_store
from tests.ledger.following import World, agrees_with_dagster, good, materialize, table
from tests.ledger.test_follow import BERLIN, WEEK, failing, queued, run
from tests.postgres.postgres_server import LIVE_ON_POSTGRES

TABLES = (
    ("x_meta_pipeline_runs", "CONCAT(pipeline_run_id, status)"),
    ("x_meta_pipeline_logs", "log_id"),
    ("x_meta_data_quality_results", "result_id"),
)


class Killed(BaseException):
    pass


def a_little_of_everything(world: World) -> None:
    materialize(world, table("a", good()), table("b", good(5)), table("c", good(), pipeline="other"))
    materialize(world, table("bad", failing(ValueError("no")), retry_policy=dg.RetryPolicy(max_retries=1)))
    queued(world)


def all_ids(world: World) -> dict[str, list[str]]:
    return {name: world.ids(name, column) for name, column in TABLES}


def reported_run_events(world: World) -> Counter[bytes]:
    return Counter(pickle.dumps(run_event) for run_event in world.run_events)


@contextmanager
def killed_before_commit(store: ControlStore, number: int) -> Iterator[None]:
    """Whoever uses the store dies when its transaction of that number is about to be committed."""
    left = [number]

    def commit(connection: sa.Connection) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    sa.event.listen(store._engine, "commit", commit)
    try:
        yield
    finally:
        sa.event.remove(store._engine, "commit", commit)


def another(world: World, folder: Path) -> World:
    """The same Dagster followed into an empty store and an empty warehouse."""
    url = sa.make_url(sqlite_store(folder / "c.db"))
    return World.of(lambda now: ControlStore(url, now), world.instance, Project.at(folder / "home"))


@pytest.mark.slow
def test_wherever_follower_and_writer_are_killed_no_row_is_lost_or_doubled_and_each_fact_is_told_once(
    simple: World, tmp_path: Path
) -> None:
    a_little_of_everything(simple)
    simple.follow()
    simple.write()
    expected, run_events = all_ids(simple), reported_run_events(simple)
    assert sum(run_events.values()) == 6, "three tables published, three ends"
    number = 0
    while True:
        world = another(simple, tmp_path / f"kill-{number}")
        try:
            with killed_before_commit(world.store, number):
                world.follow()
                world.write()
            break
        except Killed:
            number += 1
        world.wait(200)  # the lease of a killed writer
        world.follow()
        world.write()
        assert all_ids(world) == expected, f"killed before commit {number - 1}"
        assert reported_run_events(world) == run_events, f"killed before commit {number - 1}"
    assert number > 8
    assert all_ids(world) == expected


def test_a_fact_that_cannot_be_told_holds_back_no_other_run_and_is_told_later(world: World) -> None:
    first = materialize(world, table("a", good()))
    second = materialize(world, table("b", good()))
    away = [True]

    def observe(connection: sa.Connection, run_events: Sequence[RunEvent]) -> None:
        world.observe(connection, run_events)
        if away[0] and any(run_event.run.run_id == first for run_event in run_events):
            raise RuntimeError("no incident can be opened")

    follower = Follower(world.store, world.instance, {"acme": world.project.tenant}, observe)
    assert follower.follow(30).unreadable == {first: "RuntimeError: no incident can be opened"}
    assert {run_event.run.run_id for run_event in world.run_events} == {second}
    away[0] = False
    assert not follower.follow(30).run_events
    world.wait(61)
    follower.follow(30)
    assert Counter(f.run.run_id for f in world.of_kind(RunEnded)) == {first: 1, second: 1}


@pytest.mark.parametrize("deleted", ["the last run", "every run"])
def test_new_runs_are_found_after_the_run_last_found_was_deleted(world: World, deleted: str) -> None:
    runs = [materialize(world, table("a", good())) for _ in range(2)]
    world.settle()
    for run_id in runs if deleted == "every run" else runs[-1:]:
        world.instance.delete_run(run_id)
    new = materialize(world, table("a", good()))
    world.settle()
    assert new in {run.run_id for run in world.index()}
    assert len(world.index()) == 3


def test_a_run_that_becomes_visible_after_a_later_one_is_found(simple: World) -> None:
    early, late = queued(simple), queued(simple)
    hidden = _hide(simple, early.run_id)
    simple.follow()
    assert [run.run_id for run in simple.index()] == [late.run_id]
    hidden()
    simple.follow()
    assert {run.run_id for run in simple.index()} == {early.run_id, late.run_id}


def _hide(world: World, run_id: str) -> Callable[[], None]:
    """Take a run's row away as a transaction that is not committed yet does; what brings it back."""
    storage: Any = world.instance.run_storage
    storage = getattr(storage, "_storage", storage)
    with storage.connect() as connection:
        found = dict(
            connection.execute(sa.text("SELECT * FROM runs WHERE run_id = :r"), {"r": run_id}).mappings().one()
        )
        connection.execute(sa.text("DELETE FROM runs WHERE run_id = :r"), {"r": run_id})

    def back() -> None:
        names = ", ".join(found)
        with storage.connect() as connection:
            connection.execute(sa.text(f"INSERT INTO runs ({names}) VALUES (:{', :'.join(found)})"), found)

    return back


def test_an_index_that_is_built_again_is_the_same_and_writes_no_row_twice(world: World) -> None:
    a_little_of_everything(world)
    run_id = queued(world, status=dg.DagsterRunStatus.STARTED).run_id
    world.follow()
    with world.store.write() as connection:
        index.mark_stuck(connection, run_id, "idle", world.store.now())
    world.settle()
    world.write()
    before, ids, run_events = world.indexed_everything(), all_ids(world), reported_run_events(world)
    tenant = replace(world.project.tenant, config_version="another one since")
    reset_ledger(world.store)
    assert world.index() == []
    seen = []
    follower = Follower(world.store, world.instance, {"acme": tenant}, world.observe)
    assert follow_to_the_end(follower, world.store, lambda found, unread: seen.append((found, unread))) == {}
    assert seen[-1] == (4, 0)
    after = world.indexed_everything()
    assert [row for row in after if row[0] != run_id] == [row for row in before if row[0] != run_id]
    stuck = [[row[:-1] for row in rows if row[0] == run_id] for rows in (before, after)]
    assert stuck[0] == stuck[1], "all but when somebody marked it"
    world.write()
    assert all_ids(world) == ids
    assert reported_run_events(world) == run_events, "what was told is not told again"
    agrees_with_dagster(world)


def test_a_rebuild_forgets_runs_that_were_deleted_from_dagster(world: World) -> None:
    kept, deleted = (materialize(world, table("a", good())) for _ in range(2))
    world.settle()
    world.instance.delete_run(deleted)
    reset_ledger(world.store)
    follow_to_the_end(world.follower(), world.store, lambda found, unread: None)
    assert [run.run_id for run in world.index()] == [kept]


def test_the_warehouse_is_away_for_an_hour_and_the_ledger_catches_up_exactly(simple: World) -> None:
    world, calls = simple, []

    def away(location: str | None) -> Any:
        calls.append(world.store.now())
        raise WarehouseUnavailable("the warehouse does not answer")

    for _ in range(12):
        materialize(world, table("a", good()))
        world.follow()
        for _ in range(5):
            world.write(away)
            world.wait(60)
    assert len(calls) < 15, "it is asked less often the longer it is away"
    with world.store.read() as connection:
        behind = lag(connection, world.store.now(), {"acme": world.project.tenant})
    assert 3500 < behind.seconds <= 3700
    assert behind.queues[0].error == "unavailable: the warehouse does not answer"
    world.wait(900)
    world.follow()
    assert not world.write().failed
    agrees_with_dagster(world)
    assert len(world.logs("log_id", "event = 'published'")) == 12
    with world.store.read() as connection:
        assert lag(connection, world.store.now(), {"acme": world.project.tenant}).by_tenant == {}


@pytest.mark.slow
def test_a_dataset_that_another_process_keeps_locked_is_written_once_it_is_free(simple: World) -> None:
    materialize(simple, table("a", good()))
    simple.follow()
    simple.write()
    materialize(simple, table("a", good()))
    simple.follow()
    lock = DatasetLock(Layout(simple.project.settings.warehouse_folder), Dataset("acme"))
    with lock.shared(5):
        assert "busy" in simple.write().failed["acme"]
    simple.wait(60)
    assert not simple.write().failed
    agrees_with_dagster(simple)


def test_rows_of_a_tenant_that_is_not_loaded_wait_and_are_no_lag(simple: World) -> None:
    materialize(simple, table("a", good()))
    Follower(simple.store, simple.instance, {}).follow(30)
    simple.wait(600)
    simple.follow()
    with simple.store.read() as connection:
        behind = lag(connection, simple.store.now(), {})
    assert behind.seconds < 60
    assert [queue.tenant_id for queue in behind.queues] == ["acme"]
    assert simple.write().rows == 4


def test_a_backlog_of_old_runs_is_read_in_many_calls_the_newest_first(simple: World) -> None:
    for _ in range(6):
        materialize(simple, table("a", good()))
    calls = 0
    while not simple.follow(0).complete:
        calls += 1
        assert calls < 20
    assert calls >= 4
    ended = [run_event.run.run_id for run_event in simple.of_kind(RunEnded)]
    assert ended == [run.run_id for run in reversed(simple.index())]


@pytest.mark.slow
@pytest.mark.parametrize("world", ["sqlite", LIVE_ON_POSTGRES], indirect=True)
def test_two_followers_and_writers_at_once_tell_and_write_everything_once(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    world.project.load_bills([row for day in WEEK[:3] for row in hourly(day, BERLIN, 1.25)])
    for day in WEEK[:3]:
        run(world, day, day)
    a_little_of_everything(world)

    def work(_: int) -> None:
        for _ in range(5):
            world.follow()
            world.write()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    world.settle()
    world.write()
    agrees_with_dagster(world)
    ended = Counter((f.run.run_id, f.run.pipeline) for f in world.of_kind(RunEnded))
    assert set(ended.values()) == {1}
    assert len(ended) == 6
    ids = world.ids("x_meta_pipeline_logs", "log_id")
    assert len(ids) == len(set(ids)) > 20
    assert world.clock[0] == timedelta(seconds=61)


@pytest.mark.slow
def test_a_run_killed_with_signal_nine_is_running_until_dagster_says_that_it_failed(world: World) -> None:
    run_id, home = str(uuid.uuid4()), world.instance.root_directory
    script = Path(__file__).parent / "killed_run.py"
    child = subprocess.Popen([sys.executable, script, home, run_id], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        begun: list[tuple[object, ...]] = []
        while len(begun) < 2:
            assert child.poll() is None
            assert time.monotonic() < deadline
            world.follow()
            world.write()
            begun = world.logs("step", "event = 'step_started'") if world.index() else []
    finally:
        child.kill()
        child.wait()
    world.follow()  # the last look may have read the run's state before its events
    assert [(r.status, r.rows_published) for r in world.index()] == [("running", 3)]
    dead = world.instance.get_run_by_id(run_id)
    assert dead is not None
    world.instance.report_run_failed(dead, "its process is gone")
    world.settle()
    world.write()
    agrees_with_dagster(world)
    (ended,) = world.of_kind(RunEnded)
    assert (ended.run.status, ended.message, ended.run.rows_published) == ("failed", "its process is gone", 3)
    assert world.logs("step, event") == [
        ("a", "step_started"), ("a", "published"), ("a", "step_succeeded"), ("b", "step_started"),
    ]  # fmt: skip


def test_an_event_that_becomes_visible_after_a_later_one_is_read_once(world: World) -> None:
    run_id = materialize(world, table("a", good()))
    storage = world.instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.run_connection(run_id) as connection:
        query = sa.text("SELECT * FROM event_logs WHERE run_id = :r AND dagster_event_type = 'ASSET_MATERIALIZATION'")
        hidden = dict(connection.execute(query, {"r": run_id}).mappings().one())
        connection.execute(sa.text("DELETE FROM event_logs WHERE id = :i"), {"i": hidden["id"]})
    world.follow()
    assert [run.rows_published for run in world.index()] == [0]
    with storage.run_connection(run_id) as connection:
        names = ", ".join(f'"{name}"' for name in hidden)
        values = ", ".join(f":{name}" for name in hidden)
        connection.execute(sa.text(f"INSERT INTO event_logs ({names}) VALUES ({values})"), hidden)
    world.settle()
    world.write()
    assert [run.rows_published for run in world.index()] == [3]
    assert len(world.logs("log_id")) == 3
    assert len(world.of_kind(RunEnded)) == 1


def test_a_tenant_whose_warehouse_fails_is_set_aside_and_the_others_go_on(simple: World) -> None:
    world, acme = simple, simple.project.tenant
    globex = replace(acme, tenant_id="globex", dataset="globex", location="nowhere")
    materialize(world, table("a", good()), table("g", good(), tenant="globex"))
    tenants = {"acme": acme, "globex": globex}
    Follower(world.store, world.instance, tenants).follow(30)

    def opened(location: str | None) -> Any:
        if location == "nowhere":
            raise WarehouseUnavailable("no such place")
        return world.open()

    done = write_ledger(world.store, opened, tenants, 30, at_once=2)
    assert done.failed == {"globex": "unavailable: no such place"}
    assert len(world.logs("log_id")) == done.rows - 1 == 3
    assert write_ledger(world.store, opened, tenants, 30).failed == {}, "it is not asked again at once"
    world.wait(11)
    assert not write_ledger(world.store, lambda location: world.open(), tenants, 30).failed
    assert len(world.project.read("SELECT log_id FROM globex.x_meta_pipeline_logs")) == 3
    with world.store.read() as connection:
        assert lag(connection, world.store.now(), tenants).queues == []


def test_marking_a_run_stuck_and_following_it_at_once_lose_nothing(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    runs = [queued(world, status=dg.DagsterRunStatus.STARTED) for _ in range(5)]
    world.follow()

    def mark(made: dg.DagsterRun) -> None:
        with world.store.write(made.run_id) as connection:
            assert index.mark_stuck(connection, made.run_id, "idle", world.store.now())

    def end(made: dg.DagsterRun) -> None:
        world.instance.report_run_failed(made, "ended")
        world.follow()

    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(task, made) for made in runs for task in (end, mark)]
        for one in work:
            one.result()
    world.settle()
    assert {(run.status, run.stuck_reason) for run in world.index()} == {("failed", "idle")}
    world.write()
    agrees_with_dagster(world)
    found = world.project.read("SELECT DISTINCT status, stuck_reason FROM acme.x_meta_pipeline_runs")
    assert found == [{"status": "failed", "stuck_reason": "idle"}]


def test_rows_rest_until_the_oldest_has_waited_for_as_long_as_is_asked(simple: World) -> None:
    materialize(simple, table("a", good()))
    simple.follow()
    tenants = {"acme": simple.project.tenant}
    assert write_ledger(simple.store, simple.open, tenants, 30, rest_seconds=60).rows == 0
    simple.wait(61)
    assert write_ledger(simple.store, simple.open, tenants, 30, rest_seconds=60).rows == 4
