"""The days of many tenants due in one minute, on Postgres: the real daemon, code server, webserver and workers."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.against_bare import bare_day
from benchmarks.due_at_once import Found, measured
from tests.postgres.postgres_server import Postgres

CPU_OF_A_BARE_DAY = 1.3
"""What a run may take, of all processes, Postgres included, of what the bare script takes for such a day here: less than
four CPU seconds where that takes three."""
TICK_OF_A_BARE_DAY = 20
"""The longest tick in the same measure: 60 seconds where the bare day takes three."""
ROWS = 2000
TICK_SECONDS = 60.0
"""The making of the tick's runs included, which Dagster's limit for an answer does not count."""
PEAK_MEGABYTES = {"code server": 600, "daemon": 400, "webserver": 400, "forkserver": 600, "workers": 700}
PEAK_MEGABYTES_OF_A_THOUSAND = PEAK_MEGABYTES | {"code server": 700, "daemon": 1500}
"""These tenants have 49 checks each, which Dagster keeps twice; the daemon has its graph of all assets, some copies of it
at a time."""


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.xdist_group("postgres")
def test_the_days_of_a_hundred_tenants_are_published_once_each(tmp_path: Path, postgres: Postgres) -> None:
    found = measured(tmp_path / "home", postgres.url(postgres.database()), tenants=100, rows=ROWS)
    _hold_published(found)
    _hold_costs(found, PEAK_MEGABYTES)


@pytest.mark.soak
@pytest.mark.timeout(5400)
@pytest.mark.xdist_group("postgres")
def test_the_days_of_a_thousand_tenants_are_published_within_45_minutes(tmp_path: Path, postgres: Postgres) -> None:
    url, lead = postgres.url(postgres.database()), timedelta(minutes=6)
    found = measured(tmp_path / "home", url, tenants=1000, rows=ROWS, lead=lead)
    _hold_published(found)
    _hold_costs(found, PEAK_MEGABYTES_OF_A_THOUSAND)
    assert found.published_seconds <= 45 * 60
    assert {name: took for name, (_, took) in found.ticks.items() if took > TICK_SECONDS} == {}


def _hold_published(found: Found) -> None:
    assert (found.published, found.runs, found.runs_of_a_tenant) == (found.tenants, {"SUCCESS": found.tenants}, 1)
    # All have the same bills.
    assert {table: len(rows) for table, rows in found.rows.items()} == {
        "gcp_cost_line_items": 1, "gcp_cost_daily": 1, "gcp_commitment_fees": 1, "gcp_commitments": 1,
        "gcp_charges": 1, "gcp_focus": 1,
    }  # fmt: skip
    assert found.failed_ticks == {}, "one whose answer takes longer than Dagster waits for has failed"
    assert found.left == []


def _hold_costs(found: Found, peak_megabytes: Mapping[str, int]) -> None:
    bare = bare_day(ROWS).cpu_seconds
    assert found.cpu_a_run / bare <= CPU_OF_A_BARE_DAY, found.cpu
    assert {name: took for name, (_, took) in found.ticks.items() if took / bare > TICK_OF_A_BARE_DAY} == {}
    too_large = {
        role: found.peak_bytes[role] / 1e6
        for role, most in peak_megabytes.items()
        if found.peak_bytes[role] > most * 1e6
    }
    assert too_large == {}
