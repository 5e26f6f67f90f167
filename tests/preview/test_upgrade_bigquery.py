"""An upgrade on BigQuery: applied, interrupted and rolled back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.bigquery import switching
from convergence_assets.warehouse.schema import Dataset
from tests.peer.peer_server import Peer
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import (
    PIPELINE,
    columns,
    is_upgraded,
    opened,
    recorded,
    rename,
    rename_back,
    requested,
    total,
    upgrade,
)

pytestmark = pytest.mark.peer


class _Ended(Exception):
    pass


@pytest.fixture
def fleet(tmp_path: Path, peer: Peer) -> Iterator[Fleet]:
    fleet = Fleet.at(tmp_path, warehouse=peer.variables)
    fleet.publish("acme")
    yield fleet
    with open_warehouse(fleet.settings) as warehouse:
        assert warehouse.staged_runs(Dataset("acme")) == {}


def tables(fleet: Fleet) -> set[str]:
    with open_warehouse(fleet.settings) as warehouse:
        return {one.table for one in warehouse.tables_of(Dataset("acme")) if one.table.startswith("lines")}


def test_it_is_applied_and_rolled_back(fleet: Fleet) -> None:
    before = total(fleet)
    rename(fleet)
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert (code, plan["to_make"], plan["problem"]) == (0, 3, None)
    code, (done,), err = upgrade(fleet, "--apply")
    assert (code, done["outcome"]) == (0, "version 1 -> 2; version 1 is kept as acme.lines__v1"), err
    assert is_upgraded(fleet)
    assert tables(fleet) == {"lines", "lines__v1"}
    assert total(fleet) == before == total(fleet, "lines__v1")
    assert upgrade(fleet, "--apply") == (0, [], "")
    fleet.publish("acme", days=(DAYS[2], DAYS[2]))
    code, (done,), err = upgrade(fleet, "--rollback", "--accept-changes", "lines")
    assert (code, done["notes"]) == (0, ["tenant acme, table lines: 2026-10-03 are requested again"]), err
    assert "region" in columns(fleet)
    assert total(fleet) == before
    assert requested(fleet) == {DAYS[2]: "not in version 1 of lines"}
    rename_back(fleet)
    fleet.publish("acme", days=(DAYS[2], DAYS[2]))
    assert upgrade(fleet, "--plan") == (0, [], "")
    assert recorded(fleet).keys() == set(DAYS)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("statement", [pytest.param(1, marks=pytest.mark.soak), 2, 3])
def test_ended_before_or_after_each_statement_of_its_switch_it_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, statement: int, clustered: bool
) -> None:
    before = total(fleet)
    rename(fleet)
    gap = ("--accept-gap",) if clustered else ()
    if clustered:  # BigQuery replaces no table by one of another layout
        fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    clustering: [service]\n")
        code, _, err = upgrade(fleet, "--apply")
        assert (code, "Nothing is built. Next: this again with --accept-gap" in err) == (1, True)
    with opened(fleet, gap=clustered) as (work, found), monkeypatch.context() as patched:
        count = 0
        for name in ("_replace", "_rename"):
            made = getattr(switching, name)

            def counted(*arguments: object, made: object = made) -> None:
                nonlocal count
                count += 1
                if count * 2 - 1 == statement:
                    raise _Ended
                made(*arguments)  # type: ignore[operator]
                if count * 2 == statement:
                    raise _Ended

            patched.setattr(switching, name, counted)
        with pytest.raises(_Ended):
            work.apply(found)
    if "lines" in tables(fleet):
        assert total(fleet) == before
        assert "lines__v2" in tables(fleet) or "area" in columns(fleet)
    code, out, err = fleet.command("run", "acme", "costs", "--partition", "2026-10-02")
    assert code == 1
    assert "convergence upgrade" in out + err
    code, _, err = upgrade(fleet, "--apply", *gap)
    assert code == 0, err
    assert is_upgraded(fleet)
    assert total(fleet) == before == total(fleet, "lines__v1")
    assert tables(fleet) == {"lines", "lines__v1"}


@pytest.mark.parametrize("command", ["--apply", "--rollback"])
def test_where_a_rollback_has_left_the_table_absent_either_version_can_be_read_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from convergence_assets.tenant_lifecycle.rolling_back import roll_back

    before = total(fleet)
    rename(fleet)
    fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    clustering: [service]\n")
    assert upgrade(fleet, "--apply", "--accept-gap")[0] == 0
    renamed = switching._rename

    def end(*arguments: object) -> None:
        renamed(*arguments)  # type: ignore[arg-type]
        raise _Ended

    with opened(fleet, gap=True) as (work, found), monkeypatch.context() as patched:
        patched.setattr(switching, "_rename", end)
        with pytest.raises(_Ended):
            roll_back(work, found)
    assert tables(fleet) == {"lines__v1", "lines__v2"}
    code, _, err = upgrade(fleet, command, "--accept-gap")
    assert code == 0, err
    assert ("area" if command == "--apply" else "region") in columns(fleet)
    assert total(fleet) == before
    assert recorded(fleet).keys() == set(DAYS)
    assert requested(fleet) == {}


def test_a_table_of_somebody_else_of_a_versions_name_stays(fleet: Fleet) -> None:
    rename(fleet)
    with open_warehouse(fleet.settings) as warehouse:
        client = warehouse._client  # type: ignore[attr-defined]
        client.query_and_wait("CREATE TABLE acme.lines__v2 (x INT64)", retry=None, job_retry=None)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "there is a table acme.lines__v2 that is no version of it" in err
    assert fleet.read("SELECT COUNT(*) AS n FROM acme.lines__v2")[0]["n"] == 0
    assert "region" in columns(fleet)
