"""What GoogleSQL's reference implementation lacks or computes alike, by known values."""

import pytest

from convergence_assets.warehouse.duckdb import answers


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"NORMALIZE('e\u0301')", "\u00e9"),
        (r"NORMALIZE('\u00e9', NFD)", "e\u0301"),
        (r"NORMALIZE('\ufb01 \u2460', NFKC)", "fi 1"),
        (r"NORMALIZE('\u00c5', NFKD)", "A\u030a"),
        (r"NORMALIZE(CAST(NULL AS STRING))", None),
        (r"NORMALIZE_AND_CASEFOLD('\u00c9STra\u00dfe')", "\u00e9strasse"),
        (r"NORMALIZE_AND_CASEFOLD('\ufb01', NFKC)", "fi"),
        (r"TO_BASE32(b'abcde\xff')", "MFRGGZDF74======"),
        (r"FROM_BASE32('MFRGGZDF74======')", b"abcde\xff"),
        (r"TO_BASE32(b'')", ""),
    ],
)
def test_it_gives_the_value_that_its_standard_has(expression: str, expected: object) -> None:
    query = f"SELECT {expression}"
    assert answers.refusals(query) == ()
    assert answers.rows(query) == [(expected,)]


def test_texts_of_python_outlive_a_case_over_many_rows() -> None:
    rows = answers.rows(
        'SELECT COALESCE(IF(MOD(n, 2) = 0, JSON_VALUE(CONCAT(\'{"a":"a text of more than twelve bytes \', CAST(n AS'
        " STRING), '\"}'), '$.a'), CAST(CAST(n AS BIGNUMERIC) + 10000000000000 AS STRING)), 'x') AS t, n"
        " FROM UNNEST(GENERATE_ARRAY(1, 5000)) n ORDER BY n"
    )
    assert rows == [
        (f"a text of more than twelve bytes {n}" if n % 2 == 0 else str(n + 10**13), n) for n in range(1, 5001)
    ]
