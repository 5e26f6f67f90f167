"""`convergence costs`, and moments as a person types them."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from convergence_assets.cli.datetimes import end_of, moment
from convergence_assets.cli.main import app
from convergence_assets.control import runs
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from tests.assets.project import TENANTS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ControlStore:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return ControlStore.open(Settings.from_env())


def costs_command(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, ["costs", *words])


def a_run(store: ControlStore, billed: int) -> None:
    moment = store.now() - timedelta(hours=1)
    run = IndexedRun(
        f"run-{billed}", "acme", "demo_costs", "succeeded", "SUCCESS", "schedule", None, date(2026, 3, 1),
        date(2026, 3, 1), "v1", 1, moment, moment, moment, 5, billed, None, None, None, moment,
    )  # fmt: skip
    with store.write() as connection:
        runs.write_runs(connection, [run])


def test_the_embedded_warehouse_is_said_to_count_nothing_rather_than_zero(store: ControlStore) -> None:
    a_run(store, 0)
    shown = costs_command()
    assert shown.exit_code == 0, shown.output
    assert "not counted" in shown.stdout
    assert "counts no bytes" in shown.stdout
    assert json.loads(costs_command("--json").stdout) == {
        "tenant": "acme", "pipeline": "demo_costs", "day": None, "runs": 1, "failed": 0, "rows_published": 5,
        "bytes_billed": None, "usd_on_demand": None,
    }  # fmt: skip


def test_billed_bytes_have_their_price(store: ControlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    a_run(store, 2**40)
    monkeypatch.setenv("GCP_PROJECT_ID", "some-project")
    found = json.loads(costs_command("--tenant", "acme", "--by-day", "--json").stdout)
    assert (found["bytes_billed"], found["usd_on_demand"]) == (2**40, 6.25)
    assert found["day"] == str((store.now() - timedelta(hours=1)).date())
    assert "6.2500" in costs_command().stdout


def test_a_time_without_runs_says_so_and_an_index_that_was_never_filled_too(store: ControlStore) -> None:
    shown = costs_command("--to", "2026-01-31", "--from", "2026-01-01")
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "no run was made in that time")
    assert "from 2026-01-01T00:00Z to 2026-02-01T00:00Z" in shown.stdout
    assert "ledger rebuild" in shown.stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--tenant", "acm"), "did you mean 'acme'"),
        (("--tenant", "acme", "--pipeline", "demo_cost"), "did you mean 'demo_costs'"),
        (("--pipeline", "demo_cost"), "did you mean 'demo_costs'"),
        (("--from", "yesterday"), "--from 'yesterday'; expected a date like"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "is not after"),
    ],
)
def test_a_mistake_is_answered_in_a_line(store: ControlStore, words: tuple[str, ...], answer: str) -> None:
    shown = costs_command(*words)
    assert (shown.exit_code, answer in shown.output) == (2, True), shown.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T14:30", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("2026-11-20 14:30:05+02:00", datetime(2026, 11, 20, 12, 30, 5, tzinfo=UTC)),
        ("2026-11-20T14:30Z", datetime(2026, 11, 20, 14, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(weeks=1)),
    ],
)
def test_a_moment_is_a_date_a_timestamp_or_how_long_ago(typed: str, meant: datetime) -> None:
    assert moment(typed, NOW, "--since") == meant


def test_a_date_ends_with_its_day_and_everything_else_is_as_it_is_said() -> None:
    assert end_of("2026-11-20", NOW, "--until") == datetime(2026, 11, 21, tzinfo=UTC)
    assert end_of("2h", NOW, "--until") == NOW - timedelta(hours=2)


@pytest.mark.parametrize("typed", ["", "soon", "2026-02-30", "3", "-2h", "999999w", "2026-10"])
def test_what_is_no_moment_is_refused_with_what_is_one(typed: str) -> None:
    with pytest.raises(typer.BadParameter, match="how long ago"):
        moment(typed, NOW, "--since")
