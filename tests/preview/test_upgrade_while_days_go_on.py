"""Days that are published, changed or expired while a table is upgraded, or since it was made."""

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from convergence_assets.control.locks import Claim, Lock, LockLost, Refused
from convergence_assets.tenant_lifecycle import upgrading
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded, TableVersion
from tests.preview.fleet import DAYS, FIRST, Fleet
from tests.preview.upgrades import (
    COSTS,
    PIPELINE,
    REGION,
    SQL,
    columns,
    declare,
    is_upgraded,
    keep_files,
    opened,
    publish_without_run,
    recorded,
    rename,
    rows_of,
    total,
    upgrade,
)

NEXT = DAYS[-1] + timedelta(days=1)


class _Ended(Exception):
    pass


def test_a_day_that_is_published_while_it_builds_is_in_the_new_version(fleet: Fleet) -> None:
    keep_files(fleet)
    rename(fleet)
    ran: list[int] = []

    def run_beside(days: int) -> None:
        if days == len(DAYS) and not ran:  # all that was published is built
            ran.append(days)
            fleet.load("acme", 2, [*DAYS, NEXT])
            fleet.publish("acme", days=(DAYS[1], NEXT), folder="former")

    with opened(fleet) as (work, found):
        work.apply(found, run_beside)
    assert ran
    # The first day was not published again: its bills are those of before, as in the former version.
    assert total(fleet) == total(fleet, "lines__v1")
    assert rows_of(fleet, NEXT) == 6
    assert recorded(fleet).keys() == {*DAYS, NEXT}


def test_a_day_that_an_older_sql_built_is_built_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    rename(fleet)
    monkeypatch.setattr(upgrading, "DAYS_AT_ONCE", 1)

    def end(days: int) -> None:
        if days:
            raise _Ended

    with opened(fleet) as (work, found), pytest.raises(_Ended):
        work.apply(found, end)
    assert len(recorded(fleet, "lines__v2")) == 1
    fleet.edit(SQL, "region AS area", "UPPER(region) AS area")
    assert upgrade(fleet, "--plan")[1][0]["to_make"] == 3
    assert upgrade(fleet, "--apply")[0] == 0
    assert {row["area"] for row in fleet.read("SELECT area FROM acme.lines")} == {"REGION 0", "REGION 1"}


def test_what_was_built_already_is_not_built_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    rename(fleet)
    monkeypatch.setattr(upgrading, "DAYS_AT_ONCE", 2)

    def end(days: int) -> None:
        if days:
            raise _Ended

    with opened(fleet) as (work, found), pytest.raises(_Ended):
        work.apply(found, end)
    made = recorded(fleet, "lines__v2")
    assert len(made) == 2
    assert upgrade(fleet, "--plan")[1][0]["to_make"] == 1
    assert upgrade(fleet, "--apply")[0] == 0
    assert {recorded(fleet)[day].published_at for day in made} == {one.published_at for one in made.values()}


@pytest.mark.parametrize("known", [True, False])
def test_figures_that_differ_switch_nothing_until_they_are_accepted_by_name(fleet: Fleet, known: bool) -> None:
    if not known:  # as a release has recorded it that kept no definitions
        for day in DAYS:
            publish_without_run(fleet, day, 6)
    rename(fleet)
    fleet.edit(SQL, "    cost,\n", "    IF(DATE(used_at) = '2026-10-02', cost + 1, cost) AS cost,\n")
    for _ in range(2):
        code, _, err = upgrade(fleet, "--apply")
        assert code == 1
        assert "2026-10-02 EUR: 1 -> 1 rows, cost 7.003 -> 8.003" in err
        assert "2026-10-02 USD: 5 -> 5 rows, cost 18.35 -> 23.35" in err
        assert "2026-10-01" not in err
        assert "--accept-changes lines=" in err
        assert "region" in columns(fleet)
    code, out, errors = fleet.command("upgrade", "acme", "--apply", "--accept-changes", "line")
    assert (code, "did you mean 'lines'" in out + errors) == (2, True)
    assert upgrade(fleet, "--apply", "--accept-changes", "totals")[0] == 1
    assert upgrade(fleet, "--apply", "--accept-changes", "lines")[0] == 1
    (accepted,) = re.findall("--accept-changes (lines=[0-9a-f]+)", err)
    fleet.edit(SQL, "cost + 1", "cost + 2")
    code, _, err = upgrade(fleet, "--apply", "--accept-changes", accepted)
    assert (code, "cost 7.003 -> 9.003" in err) == (1, True), "other figures than those that were accepted"
    fleet.edit(SQL, "cost + 2", "cost + 1")
    code, (done,), err = upgrade(fleet, "--apply", "--accept-changes", accepted)
    assert code == 0, err
    assert done["outcome"].endswith("2 changes of figures accepted")
    assert is_upgraded(fleet)


def test_an_amount_that_the_new_version_does_not_have_switches_nothing(fleet: Fleet) -> None:
    keep_files(fleet)
    publish_without_run(fleet, DAYS[2], 6)
    fleet.edit(PIPELINE, "{name: cost, type: NUMERIC}\n      - {name: currency, type: STRING}\n  - kind",
               "{name: price, type: NUMERIC}\n      - {name: currency, type: STRING}\n  - kind")  # fmt: skip
    fleet.edit(PIPELINE, "money: {column: cost,", "money: {column: price,")
    fleet.edit(f"{COSTS}/expectations/lines.yaml", "column: cost", "column: price")
    fleet.edit(SQL, "    cost,\n", "    cost AS price,\n")
    fleet.edit(f"{COSTS}/totals.sql", "SUM(cost)", "SUM(price)")
    declare(fleet, 2)
    # Two days say that `cost` was the money; where none does, it cannot be known.
    assert upgrade(fleet, "--plan")[0] == 0
    for day in DAYS[:2]:
        publish_without_run(fleet, day, 6)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "2026-10-01 EUR: 1 -> 1 rows, cost 6.666 -> none" in err
    fleet.publish("acme", folder="former")
    assert upgrade(fleet, "--apply")[0] == 0


def test_a_day_that_its_checks_stop_switches_nothing(fleet: Fleet) -> None:
    rename(fleet)
    fleet.edit(f"{COSTS}/expectations/lines.yaml", "max_value: 100", "max_value: 7.2")
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "2026-10-03: cost_is_possible" in err
    assert "region" in columns(fleet)
    assert fleet.staged() == []


def test_what_came_in_while_it_was_built_is_found_to_be_late(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, "    table: lines\n    description: One row a bill\n", "    table: lines\n    description: One "
               "row a bill\n    late_data: {look_back_days: 35, sql: late.sql}\n")  # fmt: skip
    (fleet.folder / "tenants" / f"{COSTS}/late.sql").write_text(
        "SELECT DATE(used_at, @timezone) AS day, CAST(SUM(cost) AS STRING) AS marker FROM bills\n"
        "WHERE used_at >= @partition_start AND used_at < @partition_end GROUP BY day\n"
    )
    fleet.publish("acme")
    before = recorded(fleet)
    assert all(one.marker for one in before.values())
    rename(fleet)
    came: list[int] = []

    def come(days: int) -> None:
        if days == len(DAYS) and not came:
            came.append(days)
            fleet.load("acme", 3)

    with opened(fleet) as (work, found):
        work.apply(found, come)
    assert came
    after = recorded(fleet)
    assert {day: one.marker for day, one in after.items()} == {day: one.marker for day, one in before.items()}
    newest = max(one.version for one in before.values())
    assert {one.read_through for one in after.values()} <= set(range(newest, newest + 2))
    assert all(one.read_through < one.version for one in after.values())


def test_days_before_a_later_start_date_are_copied_where_columns_are_enough(fleet: Fleet) -> None:
    before = total(fleet)
    fleet.edit("acme/tenant.yaml", "start_date: 2026-10-01", "start_date: 2026-10-02")
    rename(fleet)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "1 days cannot be made any more (2026-10-01 before start_date)" in err
    assert "region is gone, and may be what area is now" in err
    assert "region" in columns(fleet)
    fleet.edit(PIPELINE, REGION.replace("region", "area"), REGION.replace("{name: region, type: STRING}\n      - ", ""))
    fleet.edit(SQL, "    region AS area,\n", "")
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert done["notes"] == ["tenant acme, table lines: 1 days are copied as they are: 2026-10-01 before start_date"]
    assert "region" not in columns(fleet)
    assert total(fleet) == before
    assert recorded(fleet)[FIRST].definition == recorded(fleet, "lines__v1")[FIRST].definition


@pytest.mark.parametrize("when_empty", ["fail", "publish"])
def test_days_whose_source_has_expired_are_copied_where_columns_are_enough(fleet: Fleet, when_empty: str) -> None:
    before = total(fleet)
    fleet.load("acme", 1, DAYS[1:])
    if when_empty == "publish":
        fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    when_empty: publish\n")
    rename(fleet)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "2026-10-01 without rows in what the step reads now" in err
    fleet.edit(PIPELINE, REGION.replace("region", "area"), REGION.replace("region", "area").replace(
        "{name: area", "{name: region, type: STRING}\n      - {name: area"))  # fmt: skip
    fleet.edit(SQL, "    region AS area,\n", "    region,\n    region AS area,\n")
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert "1 days are copied as they are, with area NULL: 2026-10-01 without rows" in done["notes"][0]
    assert total(fleet) == before
    assert rows_of(fleet, FIRST) == 6


def test_expired_days_are_copied(fleet: Fleet) -> None:
    before = total(fleet)
    fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    partition_expiration_days: 1\n    version: 2\n")
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert (code, plan["notes"][0]) == (0, "3 days can be copied alone: before start_date, or past their expiration")
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert "3 of 2026-10-01...2026-10-03 past its expiration" in done["notes"][0]
    assert total(fleet) == before


def test_a_run_at_work_keeps_the_switch_out_and_an_upgrade_keeps_runs_out(fleet: Fleet) -> None:
    rename(fleet)
    other = Claim("acme", "costs", DAYS[0], DAYS[0])
    with opened(fleet) as (work, found):
        work.session.hold_lock(other, "a run")
        with pytest.raises(Refused, match="a run"):
            work.apply(found)
        assert len(recorded(fleet, "lines__v2")) == 3
        assert "region" in columns(fleet)
        work.session.release_run("a run")
        with work.every_day(found, "upgrade-1"), pytest.raises(Refused, match="partition every day"):
            work.session.hold_lock(Claim("acme", "costs", date(2030, 1, 1), date(2030, 1, 1)), "a run")
        assert work.apply(found).startswith("version 1 -> 2")


def test_an_upgrade_that_has_lost_its_lock_switches_nothing(fleet: Fleet) -> None:
    rename(fleet)
    with opened(fleet) as (work, found):
        agreed = type(work)._agreed

        def take_away(self: upgrading.Upgrade, found: TableVersion, lock: Lock) -> object:
            differing = agreed(self, found, lock)
            self.session.locks.release([lock.fence for lock in self.session.locks.all()])
            return differing

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(type(work), "_agreed", take_away)
            with pytest.raises(LockLost):
                work.apply(found)
    assert "region" in columns(fleet)
    assert upgrade(fleet, "--apply")[0] == 0


def test_a_run_between_the_switch_and_its_record_publishes_nothing(fleet: Fleet) -> None:
    rename(fleet)
    with opened(fleet) as (work, found), pytest.MonkeyPatch.context() as patched:

        def end(*arguments: object) -> object:
            raise _Ended

        patched.setattr(upgrading, "end_switch", end)
        with pytest.raises(_Ended):
            work.apply(found)
    assert "area" in columns(fleet)
    code, out, err = fleet.command("run", "acme", "costs", "--partition", "2026-10-02")
    assert code == 1
    assert "the switch of table acme.lines to version 2 has not ended" in out + err
    assert upgrade(fleet, "--apply")[1][0]["outcome"] == "version 1 -> 2"
    assert is_upgraded(fleet)
    assert upgrade(fleet, "--rollback")[1][0]["outcome"].startswith("version 2 -> 1")


def test_an_upgrade_of_a_pipeline_is_done_once_at_a_time(fleet: Fleet) -> None:
    rename(fleet)
    with opened(fleet) as (work, found):
        work.session.hold_lock(Claim.of_no_day("acme", "costs"), "upgrade-other")
        with pytest.raises(Refused, match="upgrade-other"):
            work.apply(found)


def test_a_version_that_is_read_and_declared_no_more_is_not_upgraded(fleet: Fleet) -> None:
    with opened(fleet) as (work, found):
        assert found.schema
        newer = replace(found, schema=replace(found.schema, version=2))
        with pytest.raises(NotUpgraded, match="Next: --rollback"):
            work.apply(newer)


def test_an_absent_table_was_of_the_version_under_whose_name_nothing_is_recorded(fleet: Fleet) -> None:
    declare(fleet, 2)
    with opened(fleet) as (_, found):
        former, built = dict(found.published), {FIRST: replace(found.published[FIRST], run_id="built-x")}
        assert found.made_by
        assert found.made_by.number == 1  # though every day may have been copied into version 2
        rolled_back = replace(found, schema=None, kept=frozenset({1, 2}), recorded={1: former, 2: {}})
        assert (rolled_back.read, rolled_back.former) == (2, 1)
        applied = replace(found, schema=None, kept=frozenset({1, 2}), recorded={1: {}, 2: built})
        assert applied.read == 1
