"""What runs were billed, by tenant, pipeline and UTC day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from convergence_assets.control import runs
from convergence_assets.control.costs import Cost, costs
from convergence_assets.control.store import ControlStore
from tests.control.test_runs_index import made

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(url: str) -> ControlStore:
    return ControlStore(sa.make_url(url))


def test_bytes_are_added_up_by_pipeline_and_by_the_utc_day_on_which_a_run_was_made(store: ControlStore) -> None:
    in_berlin = timezone(timedelta(hours=1))
    moments = {
        0: datetime(2026, 3, 1, tzinfo=UTC),
        1: datetime(2026, 3, 2, 0, 30, tzinfo=in_berlin),  # still the first, in UTC
        2: datetime(2026, 3, 2, tzinfo=UTC),
        3: datetime(2026, 3, 3, tzinfo=UTC),  # not before the end
    }
    every = [replace(made(n), created_at=moment, bytes_billed=10**12 * (n + 1)) for n, moment in moments.items()]
    every.append(replace(made(9, status="failed"), created_at=MARCH, bytes_billed=0, rows_published=0))
    every.append(replace(made(0, "globex"), created_at=MARCH, bytes_billed=7))
    with store.write() as connection:
        runs.write_runs(connection, every)
    with store.read() as connection:
        end = MARCH + timedelta(days=2)
        assert costs(connection, MARCH, end) == [
            Cost("acme", "bills", None, 4, 1, 15, 6 * 10**12),
            Cost("globex", "bills", None, 1, 0, 5, 7),
        ]
        assert costs(connection, MARCH, end, "acme", by_day=True) == [
            Cost("acme", "bills", date(2026, 3, 1), 3, 1, 10, 3 * 10**12),
            Cost("acme", "bills", date(2026, 3, 2), 1, 0, 5, 3 * 10**12),
        ]
        assert costs(connection, MARCH, end, pipeline="others") == []
