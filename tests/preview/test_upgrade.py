"""A table's new version takes the other one's place whole, or not at all."""

import duckdb
import pytest
import sqlalchemy as sa

from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import (
    COSTS,
    SQL,
    columns,
    declare,
    is_upgraded,
    recorded,
    rename,
    rename_back,
    requested,
    rows_of,
    total,
    upgrade,
)


def test_a_changed_column_without_a_version_says_which_one_to_declare(fleet: Fleet) -> None:
    assert upgrade(fleet, "--plan") == (0, [], "")
    rename(fleet, version=1)
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert code == 1
    assert "column region is in the table and no longer declared" in plan["problem"]
    assert "`version: 2`" in plan["problem"]
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "version: 2" in err


def test_an_upgrade_is_planned_and_applied_and_applied_twice_it_changes_nothing(fleet: Fleet) -> None:
    before = total(fleet)
    rename(fleet)
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert (code, plan["from"], plan["to"], plan["days"], plan["to_make"], plan["problem"]) == (0, 1, 2, 3, 3, None)
    assert plan["notes"] == ["its days are made again in what reads it: totals"]
    assert "region" in columns(fleet)
    code, (done,), err = upgrade(fleet, "--apply")
    assert (code, done["outcome"]) == (0, "version 1 -> 2; version 1 is kept as acme.lines__v1"), err
    assert is_upgraded(fleet)
    assert "region" in columns(fleet, "lines__v1")
    assert total(fleet) == before == total(fleet, "lines__v1")
    published = recorded(fleet)
    assert upgrade(fleet, "--apply") == (0, [], "")
    assert recorded(fleet) == published
    stale = fleet.command("preview", "--stale", "--tenant", "acme")[1]
    assert stale == "no published day is older than its definition\n"
    fleet.publish("acme", days=(DAYS[0], DAYS[0]))
    assert total(fleet) == before
    assert fleet.staged() == []


@pytest.mark.parametrize("served", [1, 2])
def test_a_run_of_another_version_than_the_one_that_is_read_publishes_nothing_and_says_the_next_step(
    fleet: Fleet, served: int
) -> None:
    rename(fleet)
    if served == 2:
        assert upgrade(fleet, "--apply")[0] == 0
        rename_back(fleet)
    before = recorded(fleet)
    code, out, err = fleet.command("run", "acme", "costs", "--partition", "2026-10-02")
    assert code == 1
    assert f"is version {served}, and its step declares version {3 - served}" in out + err
    assert "convergence upgrade" in out + err
    assert recorded(fleet) == before


def test_a_rollback_names_the_days_that_the_former_version_lacks_and_requests_them(fleet: Fleet) -> None:
    before = total(fleet)
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    fleet.publish("acme", days=(DAYS[1], DAYS[1]))
    for words in (("--rollback", "--table", "lines"), ("acme", "--rollback"), ("acme", "--drop-former")):
        code, out, err = fleet.command("upgrade", *words)
        assert (code, "name it: TENANT --table TABLE" in out + err) == (2, True), err
    code, out, err = fleet.command("upgrade", "acme", "--rollback", "--table", "line")
    assert (code, "did you mean 'lines'" in out + err) == (2, True)
    code, _, err = upgrade(fleet, "--rollback")
    assert code == 1
    assert "version 1 does not have 1 days as they are published now (2026-10-02)" in err
    assert "area" in columns(fleet)
    code, (done,), err = upgrade(fleet, "--rollback", "--accept-changes", "lines")
    assert (code, done["outcome"]) == (0, "version 2 -> 1; version 2 is kept as acme.lines__v2"), err
    assert done["notes"] == ["tenant acme, table lines: 2026-10-02 are requested again"]
    assert "region" in columns(fleet)
    assert total(fleet) == before
    assert recorded(fleet).keys() == {DAYS[0], DAYS[2]}
    assert requested(fleet) == {DAYS[1]: "not in version 1 of lines"}
    assert upgrade(fleet, "--rollback") == (0, [], "")
    rename_back(fleet)
    assert upgrade(fleet, "--plan") == (0, [], "")
    fleet.publish("acme", days=(DAYS[1], DAYS[1]))
    assert recorded(fleet).keys() == set(DAYS)


def test_a_former_version_that_has_lost_rows_is_not_read_again(fleet: Fleet) -> None:
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    with duckdb.connect(str(fleet.folder / "home" / "warehouse" / "datasets" / "acme.duckdb")) as own:
        own.execute(f"DELETE FROM lines__v1 WHERE day = '{DAYS[1]}'")
    for accepted in ([], ["--accept-changes", "lines"]):
        code, _, err = upgrade(fleet, "--rollback", *accepted)
        assert (code, "acme.lines__v1 has fewer rows of 2026-10-02 than were published" in err) == (1, True), err
    assert "area" in columns(fleet)
    assert rows_of(fleet, DAYS[1]) == 6 == recorded(fleet)[DAYS[1]].rows


def test_what_was_rolled_back_counts_as_built_no_more(fleet: Fleet) -> None:
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    assert upgrade(fleet, "--rollback")[0] == 0
    assert recorded(fleet, "lines__v2") == {} == recorded(fleet, "lines__v1")
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert (code, plan["to_make"]) == (0, 3)
    fleet.edit(SQL, "region AS area", "UPPER(region) AS area")
    assert upgrade(fleet, "--apply")[0] == 0
    assert {row["area"] for row in fleet.read("SELECT area FROM acme.lines")} == {"REGION 0", "REGION 1"}


def test_a_second_version_can_be_taken_back_step_by_step_and_former_ones_are_dropped_when_told(fleet: Fleet) -> None:
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    fleet.publish("acme", days=(DAYS[2], DAYS[2]))
    declare(fleet, 3, before=2)
    assert upgrade(fleet, "--apply")[0] == 0
    assert upgrade(fleet, "--rollback")[1][0]["outcome"].startswith("version 3 -> 2")
    # The last day was published under version 2: version 1 has it as it was before.
    code, (done,), err = upgrade(fleet, "--rollback", "--accept-changes", "lines")
    assert (code, done["notes"]) == (0, ["tenant acme, table lines: 2026-10-03 are requested again"]), err
    for words in (("--drop-former",), ("--apply",)):
        if words == ("--apply",):
            declare(fleet, 4, before=3)
        code, _, err = upgrade(fleet, *words)
        assert (code, "acme.lines__v2 has rows of 2026-10-03, which are not published now" in err) == (1, True), err
    code, (dropped,), _ = upgrade(fleet, "--drop-former", "--accept-changes", "lines")
    assert (code, dropped["outcome"]) == (0, "dropped acme.lines__v2, acme.lines__v3")
    assert upgrade(fleet, "--drop-former") == (0, [], "")
    assert "region" in columns(fleet)


def test_a_name_of_a_version_is_no_step_of_its_own(fleet: Fleet) -> None:
    fleet.edit(f"{COSTS}/pipeline.yaml", "    table: totals\n", "    table: lines__v2\n")
    code, out, err = fleet.command("validate")
    assert code == 1, (out, err)
    assert "lines__v2: names that end in __v and a number are those of tables' versions" in out + err


def test_rows_of_a_day_that_no_publication_knows_are_copied_or_refused(fleet: Fleet) -> None:
    before = total(fleet)
    from convergence_assets.control.store import ControlStore
    from convergence_assets.control.tables import publications as table

    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.write() as connection:
        connection.execute(sa.delete(table).where(table.c.table_name == "lines", table.c.day == DAYS[0]))
    rename(fleet)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "2026-10-01 with rows, and not recorded as published" in err
    assert "region is gone, and may be what area is now" in err
    assert "region" in columns(fleet)
    rename_back(fleet)
    declare(fleet, 2)
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert "1 days are copied as they are" in done["notes"][0]
    assert total(fleet) == before
    assert rows_of(fleet, DAYS[0]) == 6
    assert recorded(fleet).keys() == {DAYS[1], DAYS[2]}
