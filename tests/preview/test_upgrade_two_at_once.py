"""Two processes upgrade one table, as the first one's lock was taken from it."""

from collections.abc import Callable

import pytest

from convergence_assets.control.locks import LockLost
from convergence_assets.control.published_locations import PublishedLocation, set_location
from convergence_assets.tenant_lifecycle import upgrading, version_building
from convergence_assets.tenant_lifecycle.switch_records import end_switch
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded
from convergence_assets.tenant_lifecycle.upgrading import Upgrade
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import columns, is_upgraded, opened, recorded, rename, total, upgrade


def _let_another_do_it(fleet: Fleet, work: Upgrade) -> None:
    """As if this process had been silent for long: another one upgrades the table, whole."""
    work.session.locks.release([lock.fence for lock in work.session.locks.all()])
    code, _, err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert is_upgraded(fleet)


@pytest.mark.parametrize(("module", "name"), [(version_building, "record_built"), (upgrading, "end_switch")])
def test_the_one_that_has_lost_its_lock_records_nothing(fleet: Fleet, module: object, name: str) -> None:
    before = total(fleet)
    rename(fleet)
    with opened(fleet) as (work, found), pytest.MonkeyPatch.context() as patched:
        went_on: Callable[..., object] = getattr(module, name)

        def late(*arguments: object, **named: object) -> object:
            patched.undo()
            _let_another_do_it(fleet, work)
            return went_on(*arguments, **named)

        patched.setattr(module, name, late)
        with pytest.raises(LockLost):
            work.apply(found)
    assert is_upgraded(fleet)
    assert recorded(fleet, "lines__v1").keys() == set(DAYS)
    assert total(fleet) == before == total(fleet, "lines__v1")


def test_a_switch_that_is_ended_a_second_time_changes_nothing(fleet: Fleet) -> None:
    rename(fleet)
    with opened(fleet) as (work, found), pytest.MonkeyPatch.context() as patched:
        patched.setattr(upgrading, "end_switch", lambda *arguments: ("left", []))
        patched.setattr(work.warehouse, "drop_table", lambda *arguments, **named: False)
        work.apply(found)
        found = work.looked_up(found)
        assert found.unfinished
        assert upgrade(fleet, "--apply")[0] == 0
        published, former = recorded(fleet), recorded(fleet, "lines__v1")
        with work.every_day(found, upgrading.new_run_id()) as lock:
            assert end_switch(work.session, lock, found, "test") == ("version 2 is read", [])
    assert (recorded(fleet), recorded(fleet, "lines__v1")) == (published, former)
    assert published.keys() == set(DAYS) == former.keys()


def test_a_tenant_that_is_migrated_between_two_ranges_is_not_upgraded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(fleet)
    monkeypatch.setattr(upgrading, "DAYS_AT_ONCE", 1)

    def migrate(days: int) -> None:
        if days:
            with work.session.store.write() as connection:
                set_location(connection, "acme", PublishedLocation("Asia/Tokyo", "acme"), work.session.store.now())

    with opened(fleet) as (work, found), pytest.raises(NotUpgraded, match="published with timezone Asia/Tokyo"):
        work.apply(found, migrate)
    assert len(recorded(fleet, "lines__v2")) == 1
    assert "region" in columns(fleet)
