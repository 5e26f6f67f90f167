"""A backfill runs the days that are missing, in runs of neighbours, and goes on where it was left."""

import json
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.cli.day_runs import chunk_days, spans
from tests import commands
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.postgres.postgres_server import Postgres

ROOT = Path(__file__).parents[2]
FIRST = date(2026, 3, 27)
DAYS = [FIRST + timedelta(days=n) for n in range(5)]  # the third has 23 hours in Berlin


@given(st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31))))
def test_runs_cover_every_day_once_and_no_other(days: set[date]) -> None:
    ranges = list(spans(sorted(days), 90))
    covered = [first + timedelta(days=n) for first, last in ranges for n in range((last - first).days + 1)]
    assert covered == sorted(days)
    assert all((last - first).days < 90 for first, last in ranges)
    joined = [(a, b) for a, b in pairwise(ranges) if b[0] - a[1] == timedelta(days=1)]
    assert all((a[1] - a[0]).days == 89 for a, _ in joined), "neighbours share a run while it has room"


@pytest.mark.parametrize(("rows", "days"), [(1, 90), (22_222, 90), (100_000, 20), (3_000_000, 1)])
def test_the_more_rows_a_day_has_the_fewer_days_a_run_covers(rows: int, days: int) -> None:
    published = {"lines": {"2026-03-01": rows, "2026-03-02": rows}, "totals": {"2026-03-01": 1}}
    assert chunk_days(published, 90) == days
    assert chunk_days({}, 90) is None


def backfill(project: Project, *words: str, **environ: str) -> tuple[int, list[dict[str, object]]]:
    place = {"CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS)}
    name = project.tenant.pipelines[0].name
    days = ["--from", str(DAYS[0]), "--to", str(DAYS[-1]), "--json"]
    variables = clean_environment() | place | environ
    done = commands.convergence("backfill", "acme", name, *days, *words, environ=variables)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_backfill_skips_what_is_published_and_goes_on_with_what_failed(tmp_path: Path) -> None:
    project = Project.at(tmp_path / "home")
    without_fourth = [row for day in DAYS if day != DAYS[3] for row in hourly(day, "Europe/Berlin", 1.25)]
    project.load_bills(without_fourth)
    code, runs = backfill(project)
    # The bad day holds back its own later tables alone: the days before and after it go on by themselves.
    assert (code, [r["days_published"] for r in runs]) == (1, [0, 3, 1])
    assert str(DAYS[3]) in str(runs[0]["failure"])
    project.load_bills(hourly(DAYS[3], "Europe/Berlin", 1.25))
    code, runs = backfill(project)
    assert (code, [(r["first"], r["last"], r["days_published"]) for r in runs]) == (
        0,
        [(str(DAYS[3]), str(DAYS[3]), 1)],
    )
    assert backfill(project) == (0, [])
    code, runs = backfill(project, "--again")
    assert (code, [r["days_published"] for r in runs]) == (0, [5])


@pytest.mark.live
@pytest.mark.xdist_group("postgres")
def test_a_backfill_on_postgres_as_it_is_deployed_goes_on_where_it_was_left(tmp_path: Path, postgres: Postgres) -> None:
    project, database = Project.at(tmp_path / "home"), postgres.database()
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.postgres.yaml").read_text())
    environ = {
        "DAGSTER_HOME": str(home), "CONVERGENCE_WAREHOUSE": "embedded", "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(postgres.port), "DAGSTER_PG_USERNAME": "postgres",
        "DAGSTER_PG_PASSWORD": postgres.password, "DAGSTER_PG_DB": database,
    }  # fmt: skip
    project.load_bills([row for day in DAYS[:3] for row in hourly(day, "Europe/Berlin", 1.25)])
    code, runs = backfill(project, **environ)
    assert (code, sum(int(str(r["days_published"])) for r in runs)) == (1, 3)
    project.load_bills([row for day in DAYS[3:] for row in hourly(day, "Europe/Berlin", 1.25)])
    code, runs = backfill(project, **environ)
    assert (code, [(r["first"], r["days_published"]) for r in runs]) == (0, [(str(DAYS[3]), 2)])
    with sa.create_engine(postgres.url(database).replace("postgresql", "postgresql+psycopg2", 1)).connect() as store:
        assert store.scalar(sa.text("SELECT COUNT(*) FROM convergence_publications")) == 2 * len(DAYS)
        triggers = store.execute(sa.text("SELECT DISTINCT trigger FROM convergence_requests")).scalars().all()
        assert triggers == ["backfill"]
