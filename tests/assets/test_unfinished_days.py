"""No way in publishes a day that is not over: the step itself refuses it before anything is read."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from typer.testing import CliRunner

from convergence_assets.cli.main import app
from convergence_assets.cli.run import Definitions
from tests.assets.project import TENANTS, Project, hourly

BERLIN = "Europe/Berlin"


def today() -> date:
    return datetime.now(UTC).astimezone(ZoneInfo(BERLIN)).date()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as made:
        yield made


@pytest.mark.parametrize("ahead", [0, 40])
def test_a_range_that_ends_on_a_day_that_is_not_over_publishes_nothing(
    project: Project, instance: dg.DagsterInstance, ahead: int
) -> None:
    last = today() + timedelta(days=ahead)
    first = today() - timedelta(days=2)
    project.load_bills([row for n in range(3) for row in hourly(first + timedelta(days=n), BERLIN, 1.25)])
    pipeline = project.tenant.pipelines[0]
    result = Definitions(project.settings).run(instance, project.tenant, pipeline, first, last)
    assert (result.succeeded, result.published, result.checks) == (False, {}, ())
    assert result.failure is not None
    assert f"{last} is not over yet in {BERLIN}; the last day is {today() - timedelta(days=1)}." in result.failure
    assert not project.settings.warehouse_folder.joinpath("acme.duckdb").exists()
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"


@pytest.mark.parametrize("command", ["run", "backfill", "restore"])
@pytest.mark.parametrize("ahead", [0, 365])
def test_the_commands_refuse_it_as_the_api_does_with_exit_code_2(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: str, ahead: int
) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(project.settings.home))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    day, name = today() + timedelta(days=ahead), project.tenant.pipelines[0].name
    words = {
        "run": ["run", "acme", name, "--partition", str(day)],
        "backfill": ["backfill", "acme", name, "--from", "2026-03-10", "--to", str(day)],
        "restore": ["restore", "acme", "lines", str(day), "--as-of", "2026-03-10", "--yes"],
    }[command]
    done = CliRunner().invoke(app, words)
    shown = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2, done.output
    assert f"{day} is not over yet in {BERLIN}; the last day is {today() - timedelta(days=1)}." in shown
    assert "Traceback" not in done.output
