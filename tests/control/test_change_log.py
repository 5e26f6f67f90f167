"""What became different is noted once, when it is first seen, and an old version that still runs changes nothing."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from convergence_assets.control import change_log
from convergence_assets.control.change_log import KEPT, Changes
from convergence_assets.control.store import ControlStore

PACKAGES = {"dagster": "1.13.27"}


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(minutes=1)
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> ControlStore:
    return ControlStore(sa.make_url(url), clock)


def recorded(store: ControlStore, tenant_id: str | None = None) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        found = change_log.changes_since(connection, datetime(2026, 1, 1, tzinfo=UTC), tenant_id)
    return [(c.kind, c.subject, c.said) for c in found]


def files(version: str, **fields: str) -> dict[str, str]:
    return {"files": version, "timezone": "UTC", "definition of bills/lines": "d1", **fields}


def test_a_load_notes_what_differs_from_the_last_one_and_nothing_else(store: ControlStore) -> None:
    noted = Changes(store)
    assert noted.record_load({"acme": files("v1"), "globex": files("v1")}, PACKAGES) == 3
    assert noted.record_load({"acme": files("v1"), "globex": files("v1")}, PACKAGES) == 0
    assert noted.record_load({"acme": files("v2", timezone="Europe/Berlin"), "globex": files("v1")}, PACKAGES) == 1
    assert noted.record_load({"acme": files("v2", timezone="Europe/Berlin")}, {"dagster": "1.13.28"}) == 2
    assert noted.record_load({"acme": files("v2", timezone="Europe/Berlin")}, {"dagster": "1.13.28"}) == 0
    assert recorded(store)[3:] == [
        ("config", "tenant acme", "files: v1 -> v2; timezone: UTC -> Europe/Berlin"),
        ("release", "packages", "dagster: 1.13.27 -> 1.13.28"),
        ("config", "tenant globex", "its files are gone"),
    ]
    assert noted.record_load({"acme": files("v2", timezone="Europe/Berlin"), "globex": files("v1")}, PACKAGES) == 2
    assert ("config", "tenant globex", "first seen") in recorded(store)[-2:]
    assert {subject for _, subject, _ in recorded(store, "acme")} == {"tenant acme", "packages"}


def test_what_a_shared_pipeline_makes_different_is_code_and_not_configuration(store: ControlStore) -> None:
    noted = Changes(store)
    noted.record_load({"acme": files("v1")}, PACKAGES)
    noted.record_load({"acme": files("v1") | {"definition of bills/lines": "d2"}}, PACKAGES)
    assert recorded(store)[-1] == ("code", "tenant acme", "definition of bills/lines: d1 -> d2")


def test_a_run_notes_a_version_that_nobody_has_seen_and_one_with_the_old_files_notes_nothing(
    store: ControlStore,
) -> None:
    noted = Changes(store)
    noted.record_load({"acme": files("v1")}, PACKAGES)
    noted.record_run("acme", files("v2"), "run-2")
    noted.record_run("acme", files("v1"), "run-1")  # launched before, still at work
    noted.record_run("acme", files("v2"), "run-3")
    assert noted.record_load({"acme": files("v2")}, PACKAGES) == 0
    with store.read() as connection:
        found = change_log.changes_since(connection, datetime(2026, 1, 1, tzinfo=UTC), "acme")
    assert [(c.said, c.run_id) for c in found if c.tenant_id] == [("first seen", None), ("files: v1 -> v2", "run-2")]


def test_a_file_that_goes_back_to_what_it_was_is_a_change_too(store: ControlStore) -> None:
    noted = Changes(store)
    for version in ("v1", "v2", "v1"):
        assert noted.record_load({"acme": files(version)}, {}) == 1
    assert recorded(store)[-1] == ("config", "tenant acme", "files: v2 -> v1")


def test_old_changes_are_dropped_but_for_what_is_compared_with(store: ControlStore, clock: Clock) -> None:
    noted = Changes(store)
    noted.record_load({"acme": files("v1"), "globex": files("v1")}, {})
    noted.record_schema("acme", "acme.lines", (), "run-1")
    noted.record_load({"acme": files("v2"), "globex": files("v1")}, {})
    clock.moment += KEPT
    noted.record_load({"acme": files("v3"), "globex": files("v1")}, {})
    assert recorded(store) == [
        ("config", "tenant globex", "first seen"),
        ("config", "tenant acme", "files: v1 -> v2"),
        ("config", "tenant acme", "files: v2 -> v3"),
    ]
    assert noted.record_load({"acme": files("v3"), "globex": files("v1")}, {}) == 0


def test_no_more_is_told_of_a_change_than_a_line_holds(store: ControlStore) -> None:
    noted = Changes(store)
    noted.record_load({"acme": {f"definition of bills/t{n}": "d1" for n in range(50)}}, {})
    noted.record_load({"acme": {f"definition of bills/t{n}": "d2" for n in range(50)}}, {})
    assert recorded(store)[-1][2].endswith("; and 38 more")
