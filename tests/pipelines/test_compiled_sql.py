"""What was read of a text is read once, and afterwards from a file, the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence_assets import kept_results
from convergence_assets.pipelines import compile, sql_reading
from convergence_assets.pipelines.compile import compile_sql
from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.problems import TemplateError
from convergence_assets.pipelines.sql_reading import read_statement

LIBRARY = Path(compile.__file__).parent / "library"
OF_EVERY_KIND = [
    "SELECT * FROM bills WHERE day = @partition_date",
    "WITH b AS (SELECT cost FROM bills AS x), unread AS (SELECT 1 AS one)\nSELECT b.cost, t.tag FROM b, UNNEST(b.tags) AS t",
    "CREATE TEMP FUNCTION f(x INT64) AS (x + 1);\nSELECT f(cost) AS `é` FROM `bills`",
    "SELECT 1",
]


def in_rendered_form(file: Path) -> bool:
    return "{" not in file.read_text()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of results, and no memory of other tests, nor for them."""
    monkeypatch.setattr(kept_results, "folders", lambda: (tmp_path,))
    compile._read_text.cache_clear()
    yield tmp_path
    compile._read_text.cache_clear()


@pytest.mark.parametrize(
    "text", [*OF_EVERY_KIND, *(f.read_text() for f in sorted(LIBRARY.rglob("*.sql")) if in_rendered_form(f))]
)
def test_what_is_kept_of_a_statement_is_all_that_was_read(text: str) -> None:
    read = read_statement(text)
    assert CompiledSql.of(text, json.loads(json.dumps(read.names()))) == read


@pytest.mark.parametrize("names", [None, [], {}, {"references": 1}, {"needs": [["a"]], "returns": None}, "x"])
def test_what_is_no_result_is_none(names: object) -> None:
    assert CompiledSql.of("SELECT 1", names) is None


def read(text: str) -> CompiledSql:
    compile._read_text.cache_clear()
    return compile_sql("a.sql", text, frozenset({("nothing", text)}))


def test_a_text_is_parsed_once_for_all_processes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counted(text: str) -> CompiledSql:
        parsed.append(text)
        return read_statement(text)

    monkeypatch.setattr(sql_reading, "read_statement", counted)
    before = read(OF_EVERY_KIND[1])
    compile_sql.cache_clear()
    assert read(OF_EVERY_KIND[1]) == before
    assert parsed == [OF_EVERY_KIND[1]]
    for file in kept.glob("names-*/*.json"):
        file.write_text("{")
    compile_sql.cache_clear()
    assert read(OF_EVERY_KIND[1]) == before
    assert len(parsed) == 2, "a damaged file is worked out anew"


def test_a_text_that_is_wrong_is_not_kept(kept: Path) -> None:
    with pytest.raises(TemplateError):
        read("SELECT day FROM")
    assert not list(kept.glob("names-*/*.json"))
