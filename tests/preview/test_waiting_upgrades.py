"""What `status` and `doctor` say of tables that wait for an upgrade."""

import json
from typing import Any

import pytest

from convergence_assets.tenant_lifecycle import upgrading
from tests.preview.fleet import Fleet
from tests.preview.upgrades import declare, opened, rename, rename_back, upgrade


def status(fleet: Fleet) -> list[dict[str, Any]]:
    _, out, err = fleet.command("status", "acme", "--json")
    assert out, err
    upgrades = json.loads(out)["upgrades"]
    return [{name: one[name] for name in ("table", "read", "declared", "days", "built", "next")} for one in upgrades]


def doctor(fleet: Fleet) -> list[tuple[str, str]]:
    _, out, err = fleet.command("doctor", "--json")
    assert out, err
    found = [json.loads(line) for line in out.splitlines()]
    return [(one["seen"], one["next_step"]) for one in found if one["check"] == "table versions"]


def waits(read: int, declared: int, built: int, command: str) -> list[dict[str, Any]]:
    command = f"convergence upgrade acme {command}"
    return [{"table": "lines", "read": read, "declared": declared, "days": 3, "built": built, "next": command}]


def test_a_table_that_waits_for_an_upgrade_is_named_with_the_next_command(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(fleet) == []
    assert doctor(fleet) == [("every table is read in the version that is declared", "")]
    rename(fleet)
    assert status(fleet) == waits(1, 2, 0, "--plan")
    assert doctor(fleet) == [
        (
            "tenant acme, table lines: version 1 is read, and version 2 is declared",
            "`convergence upgrade acme --plan`",
        )
    ]
    monkeypatch.setattr(upgrading, "DAYS_AT_ONCE", 1)

    def end(days: int) -> None:
        if days:
            raise KeyboardInterrupt

    with opened(fleet) as (work, found), pytest.raises(KeyboardInterrupt):
        work.apply(found, end)
    assert status(fleet) == waits(1, 2, 1, "--apply")
    assert "an upgrade was begun, 1 of 3 days are built" in doctor(fleet)[0][0]
    assert upgrade(fleet, "--apply")[0] == 0
    assert status(fleet) == []
    rename_back(fleet)
    assert status(fleet) == waits(2, 1, 0, "--rollback --table lines")
    assert upgrade(fleet, "--rollback")[0] == 0
    assert status(fleet) == []


def test_a_table_whose_days_were_all_copied_waits_no_more(fleet: Fleet) -> None:
    fleet.edit("acme/tenant.yaml", "start_date: 2026-10-01", "start_date: 2026-10-09")
    declare(fleet, 2)
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert "3 days are copied as they are" in done["notes"][0]
    assert status(fleet) == []
