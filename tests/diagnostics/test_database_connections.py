"""What `convergence doctor` says of the connections that Postgres allows."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.diagnostics.doctor.examine import Setup
from convergence_assets.settings import Settings
from tests.cli.doctor_findings import found
from tests.dagster_homes import dagster_home
from tests.postgres.postgres_server import Postgres
from tests.postgres.postgres_stores import postgres_store


def setup_of(folder: Path, runs: int, url: str | None) -> Setup:
    home = dagster_home(folder / "dagster", f"concurrency: {{runs: {{max_concurrent_runs: {runs}}}}}\n")
    settings = replace(Settings.from_env({"CONVERGENCE_HOME": str(folder / "home")}), control_url=url)
    return Setup(settings, lambda: dg.DagsterInstance.from_config(str(home)), home)


@pytest.mark.xdist_group("postgres")
def test_runs_at_once_that_need_more_connections_than_postgres_allows_are_told(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres_store(postgres)  # 200 connections, three of them the superuser's
    (finding,) = found("database connections", setup_of(tmp_path / "25", 25, url))
    assert finding.state == "ok", finding
    assert "of 197 are used; 25 runs at once and the services take up to 80" in finding.seen
    (finding,) = found("database connections", setup_of(tmp_path / "90", 90, url))
    assert finding.state == "broken"
    assert "90 runs at once and the services take up to 210" in finding.seen
    assert finding.next_step.startswith("raise max_connections of Postgres, or lower max_concurrent_runs")


def test_a_control_store_in_a_file_has_no_limit(tmp_path: Path) -> None:
    (finding,) = found("database connections", setup_of(tmp_path, 500, None))
    assert (finding.state, finding.seen) == ("ok", "the control store is a file: there is no limit")
