"""The embedded engine's answers beside those of GoogleSQL's reference implementation: `cases/*.sql`, a query a line.

A query that has no form there may be refused; where it runs it has to give the reference's rows, or its error.
"""

from pathlib import Path

import pytest

from tests.warehouse.googlesql.oracle import FAULTS, compare

FILES = sorted((Path(__file__).parent / "cases").glob("*.sql"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_query_gives_the_rows_of_the_reference_implementation_or_is_refused(file: Path) -> None:
    queries = [line for line in file.read_text().splitlines() if line and not line.startswith("--")]
    found = [one for one in map(compare, queries) if one.verdict in FAULTS]
    assert not found, "\n".join(f"{one.verdict}: {one.sql}\n    {one.said}" for one in found)
