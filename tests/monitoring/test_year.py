"""A simulated year with a removal a day: state grows with the days, what is not state does not."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.year import AT_MOST, simulated


@pytest.fixture(autouse=True)
def runs_log_nothing() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_of_a_short_year_what_is_not_state_stays_as_it_was_after_a_quarter(tmp_path: Path) -> None:
    year = simulated(tmp_path, tenants=1, days=16, killed=2, looks=1)
    early, late = year.early.sizes, year.late.sizes
    assert year.growth <= AT_MOST
    for table in ("event_logs", "asset_check_executions", "job_ticks"):
        assert late.history_rows[table] <= AT_MOST * max(early.history_rows[table], 10), table
    assert late.history_rows["snapshots"] <= 8, "a job and a plan of two releases, of days that succeed and that fail"
    published = "convergence_publications"
    assert late.state_rows[published] == year.late.table_days > year.early.table_days == early.state_rows[published]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_of_a_year_what_is_not_state_stays_as_it_was_after_a_quarter(tmp_path: Path) -> None:
    year = simulated(tmp_path, tenants=10, days=365)
    assert year.growth <= AT_MOST
    assert year.kills > 0
    assert year.late.sizes.state_rows["convergence_publications"] == year.late.table_days
