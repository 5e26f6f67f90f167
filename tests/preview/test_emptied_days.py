"""Days that are published with rows, and for which a run yields none."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import publications
from convergence_assets.scheduling.late_data import ask_sources
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Targets, targets_of
from convergence_assets.tenancy.registry import load_tenants
from tests.preview.fleet import DAYS, FIRST, Fleet
from tests.preview.upgrades import COSTS, PIPELINE, SQL, rows_of, total

MARKERS = "SELECT DATE(used_at, @timezone) AS day, MAX(used_at) AS marker FROM bills WHERE used_at >= @partition_start AND used_at < @partition_end GROUP BY day"


def _may_be_empty(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    when_empty: publish\n")


def _with_markers(fleet: Fleet, when_empty: str) -> None:
    (fleet.folder / "tenants" / COSTS / "late.sql").write_text(MARKERS)
    more = f"    when_empty: {when_empty}\n    late_data: {{look_back_days: 5, sql: late.sql}}\n"
    fleet.edit(PIPELINE, "    table: lines\n", f"    table: lines\n{more}")


def _without_rows(fleet: Fleet) -> None:
    """SQL that takes none of the source's rows."""
    fleet.edit(SQL, "WHERE used_at", "WHERE service = 'none' AND used_at")


def _run(fleet: Fleet, day: date) -> tuple[int, dict[str, Any]]:
    code, out, err = fleet.command("run", "acme", "costs", "--partition", str(day), "--json")
    assert out, err
    return code, json.loads(out)


def _remade(fleet: Fleet) -> tuple[int, str]:
    """All days of another rounding, as `backfill --stale` makes them."""
    fleet.edit(SQL, "    cost,\n", "    ROUND(cost, 2) AS cost,\n")
    code, out, err = fleet.command("backfill", "acme", "--stale", "--yes")
    return code, out + err


def test_a_day_with_rows_is_not_emptied_where_its_source_has_none_any_more_until_a_person_runs_it(
    fleet: Fleet,
) -> None:
    _may_be_empty(fleet)
    fleet.load("acme", 1, DAYS[1:])
    code, output = _remade(fleet)
    assert code == 1
    assert "no rows yet for 2026-10-01" in output
    assert "The published rows of 2026-10-01 are kept, since their source may have expired" in output
    assert "`convergence run acme costs --partition 2026-10-01`" in output
    assert [rows_of(fleet, day) for day in DAYS] == [6, 6, 6]
    _, result = _run(fleet, FIRST)
    assert result["published"]["lines"] == {"2026-10-01": 0}
    assert rows_of(fleet, FIRST) == 0
    # Published empty, it has no rows to keep.
    assert _run(fleet, FIRST)[1]["published"]["lines"] == {"2026-10-01": 0}


def test_a_table_that_may_not_be_empty_is_published_empty_by_nobody_and_nobody_is_told_to(fleet: Fleet) -> None:
    before = total(fleet)
    fleet.load("acme", 1, DAYS[1:])
    code, result = _run(fleet, FIRST)
    assert (code, result["published"]) == (1, {})
    assert "no rows yet for 2026-10-01" in result["failure"]
    assert "are kept" not in result["failure"]
    assert total(fleet) == before


@pytest.mark.parametrize("when_empty", ["publish", "fail"])
def test_a_day_whose_source_has_gone_is_requested_again_once_it_is_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, when_empty: str
) -> None:
    _with_markers(fleet, when_empty)
    fleet.publish("acme")
    fleet.load("acme", 1, DAYS[1:])
    assert _remade(fleet)[0] == 1
    store = ControlStore.open(fleet.settings, fleet.variables)
    acme = load_tenants(fleet.settings).tenants["acme"]
    (target,) = (replace(one, paused=False) for one in targets_of([acme]))

    def requested(day: int) -> list[str]:
        monkeypatch.setattr(store, "now", lambda: datetime(2026, 10, day, 7, tzinfo=UTC))
        Planner(store, Targets([target]), lambda requests: {}).catch_up([target.schedule])
        return ask_sources(store, fleet.settings, [acme], [target])

    assert requested(4) == []
    fleet.load("acme", 1)
    assert requested(5) == ["acme/costs 2026-10-01"]


def test_a_day_whose_source_is_there_is_published_without_rows(fleet: Fleet) -> None:
    _with_markers(fleet, "publish")
    _without_rows(fleet)
    assert _run(fleet, FIRST)[1]["published"]["lines"] == {"2026-10-01": 0}
    assert rows_of(fleet, FIRST) == 0


def test_a_table_of_tables_is_emptied_with_them(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, "    table: totals\n", "    table: totals\n    when_empty: publish\n")
    _may_be_empty(fleet)
    _without_rows(fleet)
    code, result = _run(fleet, FIRST)
    assert code == 0, result
    fleet.load("acme", 1)
    fleet.edit(SQL, "service = 'none' AND ", "")
    assert _run(fleet, FIRST)[1]["published"]["totals"] == {"2026-10-01": 4}
    fleet.edit(f"{COSTS}/totals.sql", "WHERE day", "WHERE service = 'none' AND day")
    assert _run(fleet, FIRST)[1]["published"]["totals"] == {"2026-10-01": 0}


SHARES = """name: other
description: What other pipelines make
steps:
  - kind: bigquery
    table: shares
    description: One row a day
    when_empty: publish
    partition_column: day
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: total, type: NUMERIC}
"""
SHARES_SQL = """SELECT
    day,
    SUM(cost) AS total
FROM lines
WHERE day BETWEEN @first_partition_date AND @last_partition_date
GROUP BY day
"""


def test_a_day_is_not_emptied_while_a_table_of_another_pipeline_that_it_reads_is_not_published(fleet: Fleet) -> None:
    other = fleet.folder / "tenants" / "acme" / "pipelines" / "other"
    (other / "expectations").mkdir(parents=True)
    (other / "expectations" / "shares.yaml").write_text("name: shares\nexpectations: []\n")
    (other / "pipeline.yaml").write_text(SHARES)
    (other / "shares.sql").write_text(SHARES_SQL)
    starts = "    start_date: 2026-10-01\n"
    fleet.edit("acme/tenant.yaml", starts, f"{starts}  - template: other\n{starts}")
    fleet.publish("acme", days=(FIRST, FIRST))
    # As a rollback leaves a day that the former version lacks.
    with ControlStore.open(fleet.settings, fleet.variables).write() as connection:
        of_day = (publications.c.table_name == "lines", publications.c.day == FIRST)
        connection.execute(sa.delete(publications).where(publications.c.tenant_id == "acme", *of_day))
    fleet.edit("acme/pipelines/other/shares.sql", "WHERE day", "WHERE service = 'none' AND day")
    code, out, err = fleet.command("run", "acme", "other", "--partition", str(FIRST))
    assert (code, "or what they read is not published" in out) == (1, True), out + err
    assert rows_of(fleet, FIRST, "shares") == 1
