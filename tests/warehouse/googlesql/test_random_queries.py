"""Random queries, answered by GoogleSQL's reference implementation and by the embedded engine.

A query's number is its seed: `python -m tests.warehouse.googlesql.test_random_queries 17 18` compares those two again.
"""

import sys
from collections import Counter

import pytest

from tests.warehouse.googlesql.oracle import FAULTS, Comparison, compare
from tests.warehouse.googlesql.query_parts import shrunk, smaller
from tests.warehouse.googlesql.random_queries import random_query

FEW, MANY, CHUNK = 300, 100_000, 2_000


def judged(seed: int) -> Comparison:
    """Both answers to a random query; to the smallest query found that has the same fault, where it has one."""
    query = random_query(seed)
    first = compare(query.sql)
    if first.verdict not in FAULTS:
        return first
    return compare(shrunk(query, lambda sql: compare(sql).verdict == first.verdict).sql)


def described(seed: int, one: Comparison) -> str:
    return f"seed {seed}, {one.verdict}: {one.sql}\n    {one.said[:1000]}"


@pytest.mark.property
@pytest.mark.parametrize("first", range(0, FEW, FEW // 2))  # side by side
def test_random_queries_give_the_rows_of_the_reference_implementation_or_are_refused(first: int) -> None:
    verdicts: Counter[str] = Counter()
    for seed in range(first, first + FEW // 2):
        one = judged(seed)
        verdicts[one.verdict] += 1
        assert one.verdict not in FAULTS, described(seed, one)
    assert verdicts["right"] > FEW / 8, verdicts


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(FEW, FEW + MANY, CHUNK))
def test_many_random_queries_give_the_rows_of_the_reference_implementation_or_are_refused(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: Counter[str] = Counter()
    faults = []
    for seed in range(first, first + CHUNK):
        one = judged(seed)
        verdicts[one.verdict] += 1
        if one.verdict in FAULTS:
            faults.append(described(seed, one))
            if len(faults) == 10:
                break
    with capsys.disabled():
        print(f"\nrandom queries {first} to {first + CHUNK - 1}: {dict(verdicts)}")
    assert not faults, "\n".join(faults)


def test_a_seed_gives_the_same_query_again() -> None:
    assert random_query(7).sql == random_query(7).sql
    assert len({random_query(seed).sql for seed in range(20)}) == 20


def test_a_failing_query_is_cut_down_to_what_fails() -> None:
    query = next(q for q in map(random_query, range(100)) if "UNNEST" in q.sql and len(q.sql) > 1000)
    small = shrunk(query, lambda sql: "UNNEST" in sql)
    assert "UNNEST" in small.sql
    assert len(small.sql) < len(query.sql) / 2
    assert not any("UNNEST" in cut.sql for cut in smaller(small))


def main() -> None:
    for seed in map(int, sys.argv[1:]):
        print(described(seed, judged(seed)))


if __name__ == "__main__":
    main()
