"""What a preview says of a change is what publishing it really does."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.preview.fleet import DAYS, Fleet

SQL, TOTALS = "acme/pipelines/costs/lines.sql", "acme/pipelines/costs/totals.sql"
EXPECTATIONS, PIPELINE = "acme/pipelines/costs/expectations/lines.yaml", "acme/pipelines/costs/pipeline.yaml"
ROUNDED = ("    cost,\n", "    ROUND(cost, 2) AS cost,\n")


def sums(fleet: Fleet, table: str, column: str) -> dict[tuple[str, str], tuple[int, Decimal]]:
    selected = f"CAST(day AS STRING) AS day, currency, COUNT(*) AS n, SUM({column}) AS total"
    rows = fleet.read(f"SELECT {selected} FROM {table} WHERE day >= '2026-10-01' GROUP BY 1, 2")
    return {(row["day"], row["currency"]): (row["n"], Decimal(row["total"])) for row in rows}


def previewed(answer: dict[str, Any], table: str) -> dict[str, Any]:
    (one,) = [one for one in answer["previewed"] if one["table"] == table]
    return dict(one)


def figures(preview: dict[str, Any], column: str, side: str) -> dict[tuple[str, str], Decimal]:
    return {
        (day, amount["currency"]): Decimal(amount[side])
        for day, changes in preview["by_day"].items()
        for amount in changes["amounts"]
        if amount["column"] == column and amount[side] is not None
    }


def test_another_partition_column_is_previewed_by_its_days(fleet: Fleet) -> None:
    fleet.edit(
        PIPELINE, "partition_column: day\n    money: {column: total", "partition_column: on\n    money: {column: total"
    )
    fleet.edit(PIPELINE, "      - {name: day, type: DATE, mode: REQUIRED}\n      - {name: service, type: STRING}\n      - "
               "{name: total", "      - {name: on, type: DATE, mode: REQUIRED}\n      - {name: service, type: STRING}\n      - "
               "{name: total")  # fmt: skip
    fleet.edit("acme/pipelines/costs/totals.sql", "    day,\n    service,", "    day AS `on`,\n    service,")
    fleet.edit("acme/pipelines/costs/expectations/totals.yaml", "[day, service", "['on', service")
    code, answer = fleet.preview("--tenant", "acme")
    totals = previewed(answer, "totals")
    assert (code, totals["problem"]) == (0, None)
    assert (totals["rows"]["before"], totals["rows"]["changed"], totals["rows"]["added"]) == (12, 0, 0)
    assert "partition column: day -> on" in totals["schema"]


def test_files_that_say_the_same_touch_nothing_and_neither_does_a_comment_or_a_layout(fleet: Fleet) -> None:
    assert fleet.preview() == (0, {"changes_money": False, "touched": [], "previewed": [], "refused": {}})
    fleet.edit(SQL, "SELECT\n", "-- Rounded nowhere.\nselect\n")
    fleet.edit(SQL, "WHERE used_at >= @partition_start AND", "WHERE\n  used_at >= @partition_start\n  AND")
    fleet.edit(PIPELINE, "One row a bill", "One row for each bill")
    code, answer = fleet.preview()
    assert (code, answer["touched"]) == (0, [])


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        (SQL, *ROUNDED),
        (SQL, "AND used_at <", "AND region != 'region 1' AND used_at <"),
        (SQL, "FROM bills", "FROM (SELECT * FROM bills UNION ALL SELECT * FROM bills WHERE service = 'service 2')"),
        (TOTALS, "SUM(cost)", "SUM(cost * NUMERIC '1.000001')"),
        (TOTALS, "    service,\n    SUM", "    UPPER(service) AS service,\n    SUM"),
    ],
    ids=["rounding", "dropped rows", "doubled rows", "a factor", "another key"],
)
def test_its_figures_are_those_after_publishing_to_the_last_decimal(
    fleet: Fleet, file: str, before: str, after: str
) -> None:
    was = {"lines": sums(fleet, "acme.lines", "cost"), "totals": sums(fleet, "acme.totals", "total")}
    other = sums(fleet, "globex.lines", "cost")
    fleet.edit(file, before, after)
    code, answer = fleet.preview()
    assert {(one["tenant_id"], one["table"]) for one in answer["touched"]} == (
        {("acme", "lines"), ("acme", "totals")} if file == SQL else {("acme", "totals")}
    )
    assert sums(fleet, "acme.lines", "cost") == was["lines"], "a preview publishes nothing"
    assert fleet.staged() == []
    fleet.publish("acme")
    for table, column in (("lines", "cost"), ("totals", "total")):
        now = sums(fleet, f"acme.{table}", column)
        if file == TOTALS and table == "lines":
            assert now == was[table]
            continue
        preview = previewed(answer, table)
        assert figures(preview, column, "before") == {key: total for key, (_, total) in was[table].items()}
        assert figures(preview, column, "after") == {key: total for key, (_, total) in now.items()}
        rows = preview["rows"]
        assert (rows["before"], rows["after"]) == tuple(sum(n for n, _ in side.values()) for side in (was[table], now))
        assert rows["after"] - rows["before"] == rows["added"] - rows["lost"]
    assert code == 3
    assert sums(fleet, "globex.lines", "cost") == other


def test_rows_are_told_apart_by_the_key_that_the_suite_declares_else_by_all_that_is_no_number(fleet: Fleet) -> None:
    fleet.edit(SQL, *ROUNDED)
    _, answer = fleet.preview("--days", "1")
    lines, totals = previewed(answer, "lines"), previewed(answer, "totals")
    assert (lines["has_declared_key"], totals["has_declared_key"]) == (False, True)
    assert totals["key"] == ["day", "currency", "service"]
    assert lines["days"] == [str(DAYS[-1])]
    # One of the six costs has no more than two decimals.
    assert [lines["rows"][name] for name in ("before", "added", "lost", "changed")] == [6, 0, 0, 5]
    first = lines["examples"][0]
    (before, after) = (Decimal(value) for value in first["amounts"]["cost"])
    assert before != after == before.quantize(Decimal("0.01"), ROUND_HALF_UP)
    largest = [abs(Decimal(a) - Decimal(b)) for a, b in (one["amounts"]["cost"] for one in lines["examples"])]
    assert largest == sorted(largest, reverse=True)


def test_a_threshold_names_the_check_that_flips_and_the_days_that_it_would_stop(fleet: Fleet) -> None:
    fleet.edit(EXPECTATIONS, "max_value: 100", "max_value: 7.2")
    code, answer = fleet.preview()
    (touched,) = answer["touched"]
    assert (touched["table"], touched["parts"], touched["checks"]) == ("lines", ["suite"], ["cost_is_possible"])
    lines = previewed(answer, "lines")
    (flip,) = lines["flips"]
    assert (flip["check"], flip["severity"], flip["passes"]) == ("cost_is_possible", "critical", False)
    assert set(lines["stopped"]) == set(flip["days"]) == {str(DAYS[-1])}
    assert code == 0, "what is published stays as it is"
    fleet.publish("acme")
    fleet.edit(EXPECTATIONS, "max_value: 7.2", "max_value: 100")
    fleet.edit(EXPECTATIONS, "max_value: 50", "max_value: 1")
    _, answer = fleet.preview()
    flips = {(f["check"], f["severity"], f["passes"]) for f in previewed(answer, "lines")["flips"]}
    assert flips == {("cost_is_plausible", "warning", False)}


def test_a_day_that_a_check_would_stop_changes_no_table_that_reads_it(fleet: Fleet) -> None:
    fleet.edit(SQL, "    cost,\n", "    IF(DATE(used_at) = '2026-10-02', cost * 100, cost * 2) AS cost,\n")
    code, answer = fleet.preview()
    lines, totals = previewed(answer, "lines"), previewed(answer, "totals")
    assert list(lines["stopped"]) == ["2026-10-02"]
    assert list(lines["by_day"]) == ["2026-10-01", "2026-10-03"] == list(totals["by_day"])
    assert totals["missing"] == ["2026-10-02"]
    assert code == 3


def test_a_renamed_column_is_said_to_be_one_that_an_existing_table_does_not_take(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, "{name: region, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - {name: currency, "
               "type: STRING}\n  - kind", "{name: area, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - "
               "{name: currency, type: STRING}\n  - kind")  # fmt: skip
    fleet.edit(SQL, "    region,\n", "    region AS area,\n")
    code, answer = fleet.preview("--tenant", "acme")
    lines = previewed(answer, "lines")
    assert (lines["schema"], lines["schema_is_additive"]) == (
        ["new column area STRING NULLABLE", "column region is gone"],
        False,
    )
    assert code == 0, "no amount differs"
    fleet.edit(
        PIPELINE, "{name: area, type: STRING}", "{name: area, type: STRING}\n      - {name: region, type: STRING}"
    )
    fleet.edit(SQL, "    region AS area,\n", "    region AS area,\n    region,\n")
    _, answer = fleet.preview("--tenant", "acme")
    assert previewed(answer, "lines")["schema_is_additive"] is True


def test_a_file_that_is_wrong_is_refused_and_the_other_tenant_is_previewed(fleet: Fleet) -> None:
    fleet.edit(SQL, "FROM bills", "FROM bils")
    fleet.edit("globex/pipelines/costs/lines.sql", *ROUNDED)
    code, answer = fleet.preview()
    assert code == 1
    assert "did you mean" in answer["refused"]["acme"][0]
    assert {one["tenant_id"] for one in answer["previewed"]} == {"globex"}


def test_a_table_that_cannot_be_made_says_why_and_so_does_what_reads_it(fleet: Fleet) -> None:
    fleet.edit(SQL, "    cost,\n", "    cost / (cost - cost) AS cost,\n")
    code, answer = fleet.preview()
    assert code == 1
    problems = {one["table"]: one["problem"] for one in answer["previewed"]}
    assert "invalid_query" in problems["lines"]
    assert "it reads lines" in problems["totals"]
    assert fleet.staged() == []


def test_a_commit_is_previewed_as_the_folder_is(fleet: Fleet, tmp_path: Path) -> None:
    import subprocess

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=fleet.folder, check=True, capture_output=True)

    git("init", "-q")
    git("add", "tenants")
    git("commit", "-qm", "as published")
    fleet.edit(SQL, *ROUNDED)
    assert fleet.preview("--ref", "HEAD")[1]["touched"] == []
    git("commit", "-qam", "rounded")
    here, there = fleet.preview(), fleet.preview("--ref", "HEAD")
    assert here == there
    assert here[0] == 3
    code, _, err = fleet.command("preview", "--ref", "nowhere")
    assert code == 2
    assert "rev-parse" in err


def test_it_prints_a_table_for_people_and_markdown_for_a_pull_request(fleet: Fleet) -> None:
    fleet.edit(SQL, *ROUNDED)
    code, out, _ = fleet.command("preview")
    assert code == 3
    assert "2 tables of 1 tenant touched; 1 tenant previewed. Money changes." in out
    assert "reads lines" in out
    code, out, _ = fleet.command("preview", "--markdown")
    assert out.startswith("### Preview of published tables\n")
    assert "| acme | lines | 2026-10-01...2026-10-03 | sql | ~" in out
