"""`convergence restore`: a day's rows as they were, what reads them made anew, and a planner that leaves it so."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.main import app
from convergence_assets.control import audit, partition_states
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.process import this_process
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Targets, targets_of
from convergence_assets.settings import Settings
from tests.assets.project import TENANTS, Project, hourly
from tests.peer.peer_server import Peer

DAY = date(2026, 10, 2)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)


@pytest.fixture
def project(environment: None, tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """On the local BigQuery server."""
    for name, value in peer.variables.items():
        monkeypatch.setenv(name, value)
    return replace(Project.at(tmp_path / "home"), settings=Settings.from_env())


def convergence(*words: str, said: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, words, input=said)


def run(project: Project, cost: float) -> datetime:
    """A moment right after the day was published at this cost an hour."""
    project.load_bills(hourly(DAY, project.tenant.timezone, cost))
    result = convergence("run", "acme", "demo_costs", "--partition", str(DAY))
    assert result.exit_code == 0, result.output
    return datetime.now(UTC)


def published(project: Project) -> tuple[set[object], list[object]]:
    costs = {row["cost"] for row in project.read(f"SELECT cost FROM acme.lines WHERE day = '{DAY}'")}
    return costs, [row["cost"] for row in project.read(f"SELECT cost FROM acme.totals WHERE day = '{DAY}'")]


def asked_for(project: Project) -> tuple[list[PendingPartition], list[str]]:
    """What the planner says of the day, and what it asks for in its next tick."""
    store = ControlStore.open(project.settings)
    targets = Targets(replace(t, paused=False, start_date=DAY) for t in targets_of([project.tenant]))
    launches = Planner(store, targets, lambda requests: {}).catch_up(list(targets.schedules))
    with store.read() as connection:
        rows = partition_states.outstanding(connection, "acme", "demo_costs", [DAY])
    return rows, [launch.key for launch in launches if launch.first <= DAY <= launch.last]


@pytest.mark.peer
def test_a_spoilt_day_is_put_back_what_reads_it_is_made_anew_and_the_planner_is_content(project: Project) -> None:
    good = run(project, 1.0)
    run(project, 7.0)
    assert asked_for(project) == ([], [])
    shown = convergence("restore", "acme", "lines", str(DAY), "--as-of", good.isoformat(), said="y\n")
    assert shown.exit_code == 0, shown.output
    assert "rows now: 24" in shown.stdout
    assert "then made anew of it: totals" in shown.stdout
    assert published(project) == ({Decimal(1)}, [Decimal(24)])
    assert asked_for(project) == ([], [])
    store = ControlStore.open(project.settings)
    found = Publications(store).between("acme", ["lines", "totals"], DAY, DAY)
    assert len({p.run_id for p in found.values()}) == 1
    assert found["lines", DAY].marker is not None
    assert Locks(store).all() == []
    with store.read() as connection:
        (entry,) = audit.recorded_entries(connection)
    assert (entry.entry.action, entry.entry.subject) == ("table.restore", f"lines/{DAY}")
    assert "24 rows in the place of 24" in entry.entry.outcome
    assert project.read("SELECT COUNT(*) AS n FROM acme_export.bills WHERE _PARTITIONTIME > '2000-01-01'")[0]["n"] == 24


@pytest.mark.peer
@pytest.mark.soak
def test_a_table_that_nothing_reads_is_restored_alone_and_a_no_changes_nothing(project: Project) -> None:
    good = run(project, 1.0)
    run(project, 7.0)
    no = convergence("restore", "acme", "totals", str(DAY), "--as-of", good.isoformat(), said="n\n")
    assert (no.exit_code, published(project)) == (1, ({Decimal(7)}, [Decimal(7 * 24)]))
    done = convergence("restore", "acme", "totals", str(DAY), "--as-of", good.isoformat(), "--yes", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["rows_before"], printed["rows_restored"], printed["made_anew"]) == (1, 1, {})
    assert published(project) == ({Decimal(7)}, [Decimal(24)])
    assert asked_for(project) == ([], [])


@pytest.mark.peer
@pytest.mark.soak
def test_a_day_that_a_run_holds_or_was_asked_for_is_left_alone(project: Project) -> None:
    good = run(project, 1.0)
    run(project, 7.0)
    store, words = ControlStore.open(project.settings), ("acme", "totals", str(DAY), "--as-of", good.isoformat())
    lock = Locks(store, replace(this_process(), host="another")).acquire(Claim("acme", "demo_costs", DAY, DAY), "other")
    refused = convergence("restore", *words, "--yes")
    assert (refused.exit_code, "run other" in refused.output) == (1, True), refused.output
    Locks(store).release([lock.fence])
    with store.write() as connection:
        row = PendingPartition("acme", "demo_costs", DAY, "requested", "asked for: some key")
        partition_states.write_outstanding(connection, [row])
    waiting = convergence("restore", *words, "--yes")
    assert (waiting.exit_code, "would write over what is restored" in waiting.output) == (1, True), waiting.output
    assert published(project)[1] == [Decimal(7 * 24)]
    assert Locks(store).all() == []


@pytest.mark.peer
@pytest.mark.soak
def test_where_what_reads_it_cannot_be_made_of_it_the_planner_leaves_the_day_alone_and_says_why(
    project: Project,
) -> None:
    project.load_bills(hourly(DAY + timedelta(days=1), project.tenant.timezone, 1.0))
    other = str(DAY + timedelta(days=1))
    assert convergence("run", "acme", "demo_costs", "--partition", other).exit_code == 0
    empty = datetime.now(UTC)
    run(project, 7.0)
    done = convergence("restore", "acme", "lines", str(DAY), "--as-of", empty.isoformat(), "--yes")
    assert done.exit_code == 1, done.output
    assert "(the partition is emptied)" in done.stdout
    assert "lines is restored and what reads it is not" in done.stderr
    assert published(project) == (set(), [Decimal(7 * 24)])
    rows, launches = asked_for(project)
    assert ([(r.state, r.reason.partition(" (run")[0]) for r in rows], launches) == (
        [("gave_up", "lines was restored, and what reads it could not be made of it")],
        [],
    )


@pytest.mark.peer
def test_a_moment_that_is_not_kept_names_what_to_do_instead(project: Project) -> None:
    run(project, 1.0)
    for as_of in ("8d", (datetime.now(UTC) + timedelta(hours=1)).isoformat()):
        refused = convergence("restore", "acme", "totals", str(DAY), "--as-of", as_of, "--yes")
        assert refused.exit_code == 1
        assert f"convergence run acme demo_costs --partition {DAY}" in refused.stderr


@pytest.fixture
def embedded(environment: None, tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")


def test_the_embedded_warehouse_says_that_it_keeps_no_past_and_what_to_do(embedded: Project) -> None:
    run(embedded, 1.0)
    refused = convergence("restore", "acme", "totals", str(DAY), "--as-of", "1h", "--yes")
    assert refused.exit_code == 1
    assert "the embedded warehouse keeps no earlier rows" in refused.stderr
    assert f"convergence run acme demo_costs --partition {DAY}" in refused.stderr
    assert published(embedded) == ({Decimal(1)}, [Decimal(24)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("acme", "line", str(DAY), "--as-of", "1h"), "did you mean 'lines'"),
        (("acme", "lines", "2026-02-30", "--as-of", "1h"), "expected a date"),
        (("acme", "lines", "2020-01-01", "--as-of", "1h"), "is no partition of it"),
        (("acme", "lines", str(DAY), "--as-of", "before"), "how long ago"),
        (("acme", "lines", str(DAY), "--as-of", "1h", "--json"), "say --yes too"),
    ],
)
def test_a_mistake_is_answered_in_a_line(environment: None, words: tuple[str, ...], message: str) -> None:
    result = convergence("restore", *words)
    assert (result.exit_code, message in result.output) == (2, True), result.output
