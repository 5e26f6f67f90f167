"""What a new version reads and days lack of their pipeline."""

import json

from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import COSTS, PIPELINE, REGION, SQL


def test_days_without_a_column_that_the_sql_names_in_capitals_are_made_first(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, REGION, REGION.replace("{name: region", "{name: area, type: STRING}\n      - {name: region"))
    fleet.edit(SQL, "    region,\n", "    region AS area,\n    region,\n")
    fleet.publish("acme", days=(DAYS[-1], DAYS[-1]))
    fleet.edit(f"{COSTS}/totals.sql", "    service,\n", "    service,\n    MAX(AREA) AS place,\n")
    total = "      - {name: total, type: NUMERIC}"
    fleet.edit(PIPELINE, total, f"      - {{name: place, type: STRING}}\n{total}")
    fleet.edit(PIPELINE, "    table: totals\n", "    table: totals\n    version: 2\n")
    code, out, err = fleet.command("upgrade", "acme", "--plan", "--json")
    assert (code, json.loads(out)["makes_first"]) == (0, {"lines": 2}), err
    code, out, err = fleet.command("upgrade", "acme", "--apply")
    assert code == 0, out + err
    without = fleet.read("SELECT COUNT(*) AS n FROM acme.totals WHERE day >= '2026-01-01' AND place IS NULL")
    assert without == [{"n": 0}]
