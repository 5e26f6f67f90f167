"""What is forgotten of a tenant's publications leaves the order of all others as it was."""

from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from convergence_assets.control import publications
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore

DAY = date(2026, 3, 1)


@pytest.fixture
def store(url: str) -> ControlStore:
    return ControlStore(sa.make_url(url))


def test_a_version_is_never_given_twice_though_the_newest_publications_are_forgotten(store: ControlStore) -> None:
    found = Publications(store)
    for tenant in ("globex", "acme", "acme"):
        found.record(tenant, "bills", "lines", {DAY: 1}, run_id="run", read_through=0)
    seen = found.newest_version()
    with store.write("planner") as connection:
        store.wait_for(connection, publications.WRITING)
        assert publications.delete_publications(connection, "acme", datetime.now(UTC)) == seen + 1
    with store.read() as connection:
        assert publications.newest_days(connection, {"acme": "UTC", "globex": "UTC"}) == {("globex", "lines"): DAY}
        assert publications.days_by_pipeline(connection, "acme") == {}
        assert publications.days_by_pipeline(connection, "globex") == {"bills": {DAY}}
    assert found.between("acme", ["lines"], DAY, DAY) == {}
    found.record("globex", "bills", "lines", {DAY: 2}, run_id="run", read_through=seen)
    with store.read() as connection:
        assert ("globex", "lines", DAY) in publications.published_since(connection, seen)
    assert found.newest_version() == seen + 2
