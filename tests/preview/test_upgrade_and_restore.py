"""A day of a table that was switched, or is to be, is not put back to rows of another version."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from convergence_assets.assets.schema_mapping import table_schema
from convergence_assets.recovery.restoring import Restored
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenant_lifecycle import upgrading
from convergence_assets.warehouse.errors import NotKept, UpgradeNotEnded, VersionMismatch, WarehouseError
from convergence_assets.warehouse.interface import Staged
from convergence_assets.warehouse.schema import Query
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import opened, recorded, rename, rows_of, upgrade


class _Ended(Exception):
    pass


def _refused(fleet: Fleet, kind: type[WarehouseError], why: str) -> None:
    """Before it stages, and where the table was switched between that and the lock on its day."""
    code, _, err = fleet.command("restore", "acme", "lines", str(DAYS[1]), "--as-of", "1h", "--yes")
    assert (code, why in err) == (1, True), err
    tenant = load_tenants(fleet.settings).tenants["acme"]
    pipeline = tenant.pipelines[0]
    at = datetime.now(UTC) - timedelta(hours=1)
    restored = Restored(tenant, pipeline, pipeline.steps[0], DAYS[1], at, "restore-1")
    with opened(fleet) as (work, _), pytest.raises(kind, match=why):
        restored.publish(work.warehouse, cast(Staged, None), 0, work.session, lambda run_id: False, "test")


def test_a_moment_before_the_switch_and_a_version_that_is_not_read_are_refused(fleet: Fleet) -> None:
    rename(fleet)
    _refused(fleet, VersionMismatch, "is version 1, and its step declares version 2")
    with opened(fleet) as (work, found), pytest.MonkeyPatch.context() as patched:

        def end(*arguments: object) -> object:
            raise _Ended

        patched.setattr(upgrading, "end_switch", end)
        with pytest.raises(_Ended):
            work.apply(found)
    _refused(fleet, UpgradeNotEnded, "the switch of table acme.lines to version 2 has not ended")
    assert upgrade(fleet, "--apply")[0] == 0
    before = recorded(fleet)
    _refused(fleet, NotKept, "table acme.lines was switched to version 2 at")
    assert (recorded(fleet), rows_of(fleet, DAYS[1])) == (before, 6)
    tenant = load_tenants(fleet.settings).tenants["acme"]
    pipeline = tenant.pipelines[0]
    later = Restored(tenant, pipeline, pipeline.steps[0], DAYS[1], datetime.now(UTC), "restore-2")
    with opened(fleet) as (work, _):
        later.refuse_other_version(work.warehouse, work.session.store)
        earlier = replace(later, step=pipeline.steps[1], as_of=datetime.now(UTC) - timedelta(hours=1))
        earlier.refuse_other_version(work.warehouse, work.session.store)  # of a table that was not switched


def test_a_restored_day_is_of_the_version_that_is_read(fleet: Fleet) -> None:
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    with opened(fleet) as (work, found):
        restored = Restored(found.tenant, found.pipeline, found.step, DAYS[1], datetime.now(UTC), "restore-1")
        query = Query(f"SELECT * FROM {found.table.quoted} WHERE day = DATE '{DAYS[1]}'")
        staged = work.warehouse.stage_query(found.table, table_schema(found.step.spec), [query], restored.job)
        restored.publish(work.warehouse, staged, 6, work.session, lambda run_id: False, "test")
    assert {day: one.table_version for day, one in recorded(fleet).items()} == dict.fromkeys(DAYS, 2)
