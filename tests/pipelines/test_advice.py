"""Advice on a SELECT, by its text."""

import pytest

from convergence_assets.pipelines.advice import advise

WIDTHS = {"bills": 90, "accounts": 40}


@pytest.mark.parametrize(
    ("columns", "wide"),
    [("*", ["bills", "accounts"]), ("b.*, a.name", ["bills"]), ("a.* EXCEPT (name), b.cost", ["accounts"]), ("a.name", [])],
)  # fmt: skip
def test_a_star_is_advised_against_for_the_tables_that_it_reads_whole(columns: str, wide: list[str]) -> None:
    sql = f"SELECT {columns} FROM bills AS b INNER JOIN accounts AS a ON b.account = a.account"
    told = [advice.message for advice in advise(sql, {}, WIDTHS)]
    assert sorted(told) == sorted(
        f"SELECT * reads all {WIDTHS[table]} columns of {table}: name those that are needed" for table in wide
    )
