"""Lets a table's former version take its place again, and drops versions that are kept."""

from convergence_assets.control.locks import Lock
from convergence_assets.control.table_versions import days_not_in_former, forget_version, is_built_day
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded, TableVersion
from convergence_assets.tenant_lifecycle.upgrading import Upgrade, named, new_run_id
from convergence_assets.tenant_lifecycle.version_figures import rows_by_day


def roll_back(work: Upgrade, found: TableVersion) -> str | None:
    """Let the version before be read again; what was done, in words, and None where no former one is kept.

    A former version whose table has lost rows is refused. Days that it lacks, or has as they were before they were
    published again, are requested again, where that is accepted for the table.
    Raises `NotUpgraded`, `WarehouseError`, `Refused` where a run is at work, `LockLost` and `ControlError`.
    """
    run_id = new_run_id()
    with work.every_day(found, run_id) as lock:
        found = work.looked_up(found)
        if found.unfinished:
            is_new = any(map(is_built_day, found.unfinished.values()))
            outcome = work.recorded(found, lock)
            if not is_new:
                return outcome
            found = work.looked_up(found)
        number = _absent_former(found) if found.schema is None else found.former
        if number is None:
            return None
        if found.schema is not None:
            _refuse_unknown(found, number)
            _refuse_fewer_rows(work, found, number, lock)
            _refuse_lacking(work, found, number)
        kept = found.of_version(found.read)
        work.recorded(work.switch(found, number, lock), lock)
        return f"version {found.read} -> {number}; version {found.read} is kept as {kept}"


def drop_former(work: Upgrade, found: TableVersion) -> list[str]:
    """Drop the tables of the versions that are not read, but for one that is built; their names.

    Raises `NotUpgraded`, `WarehouseError`, `Refused` where a run is at work, and `ControlError`.
    """
    dropped = []
    with work.every_day(found, new_run_id()) as lock:
        found = work.looked_up(found)
        if found.schema is None or found.unfinished:
            raise NotUpgraded(f"{found.name}: its switch has not ended. Next: --apply or --rollback first")
        for number in sorted(found.kept):
            if not any(map(is_built_day, found.recorded[number].values())):
                work.refuse_only_copy(found, number, lock)
                forget_version(work.session, lock, found.of_version(number).table)
                work.warehouse.drop_table(found.of_version(number))
                dropped.append(str(found.of_version(number)))
    return dropped


def _absent_former(found: TableVersion) -> int | None:
    """The version to be read again where the table is absent: the one whose days are recorded as the table's, where a
    new one was to take its place, else the one before."""
    is_new = any(is_built_day(one) for days in found.recorded.values() for one in days.values())
    return found.read if is_new and found.read in found.kept else found.former


def _refuse_unknown(found: TableVersion, number: int) -> None:
    """Raise `NotUpgraded` where it is not known what the former version has, or what it lacks can be made no more."""
    former = found.recorded.get(number, {})
    if not former:
        raise NotUpgraded(
            f"{found.name}: {found.of_version(number)} is there, and it is not known which days it has; nothing is "
            "switched. Next: declare a higher version of the former columns, then --apply"
        )
    lacking = days_not_in_former(found.published, former)
    if lost := [day for day in lacking if day in found.unbuildable]:
        raise NotUpgraded(
            f"{found.name}: version {number} does not have {named(lost)} as they are now, and they can be made no more "
            f"({found.unbuildable[lost[0]]}); nothing is switched. Next: declare a higher version of the former "
            "columns, then --apply"
        )


def _refuse_fewer_rows(work: Upgrade, found: TableVersion, number: int, lock: Lock) -> None:
    """Raise `NotUpgraded` where the former version's table has lost rows, as by an expiration of its partitions."""
    former, recorded = found.of_version(number), found.recorded[number]
    schema = work.warehouse.existing_schema(former)
    assert schema
    there = rows_by_day(work.warehouse, former, schema, work.job(found, lock))
    fewer = sorted(day for day, one in recorded.items() if there.get(day, 0) < one.rows)
    if fewer:
        raise NotUpgraded(
            f"{found.name}: {former} has fewer rows of {named(fewer)} than were published; nothing is switched. Next: "
            "declare a higher version of the former columns, then --apply"
        )


def _refuse_lacking(work: Upgrade, found: TableVersion, number: int) -> None:
    lacking = days_not_in_former(found.published, found.recorded[number])
    if lacking and found.step.table not in work.accepted:
        raise NotUpgraded(
            f"{found.name}: version {number} does not have {len(lacking)} days as they are published now "
            f"({named(lacking)}); nothing is switched. Next: this again with --accept-changes {found.step.table} "
            "switches, and requests these days again"
        )
