"""Every name of Great Expectations that is not public does what this project takes it for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from convergence_assets.quality import gx_compat

pytestmark = pytest.mark.xdist_group("great_expectations")

BETWEEN = "expect_column_values_to_be_between"
FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 20}
FRAME = pd.DataFrame({"c": [1, 5, None]})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with gx_compat.great_expectations():
        yield


def test_an_expectation_is_made_from_its_serialised_form_and_names_its_type_and_metric() -> None:
    built = gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": 4}, {"number": 7})
    assert gx_compat.type_of(built) == BETWEEN
    assert gx_compat.map_metric(built) == "column_values.between"
    assert gx_compat.arguments_of(built) == {"column": "c", "max_value": 4}
    assert built.meta == {"number": 7}


def test_a_decimal_becomes_a_double_without_a_walk_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    from great_expectations.core.id_dict import IDDict

    monkeypatch.setattr("inspect.getouterframes", lambda *_: pytest.fail("the stack is walked"))
    assert IDDict(least=Decimal("0.1"), most=Decimal("0.2")).to_id() == IDDict(least=0.1, most=0.2).to_id()


def test_a_table_level_expectation_has_no_metric_of_rows() -> None:
    assert gx_compat.map_metric(gx_compat.domain_object("expect_table_row_count_to_equal", {"value": 3})) is None


@pytest.mark.parametrize("kwargs", [{"column": 3}, {"column": "c", "nobody": 1}, {}])
def test_wrong_arguments_are_raised(kwargs: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"validation error|max_value"):
        gx_compat.domain_object("expect_column_values_to_match_regex", kwargs)


def test_great_expectations_makes_a_double_of_a_bound_and_the_exact_one_takes_its_place() -> None:
    built = gx_compat.domain_object(
        "expect_column_max_to_be_between", {"column": "c", "max_value": 4567890123456789012}
    )
    assert isinstance(built.max_value, float)  # else `with_arguments` could go
    pairs: list[tuple[Any, Any]] = [
        (4567890123456789012, 4567890123456789013),
        (Decimal("0.12345678901234567890"), Decimal("0.12345678901234567891")),
    ]
    for exact, beyond in pairs:
        kept = gx_compat.with_arguments(built, {"max_value": exact})
        assert gx_compat.arguments_of(kept)["max_value"] == exact
        assert gx_compat.judged(kept, {"column.max": exact}, FORMAT)["success"]
        assert not gx_compat.judged(kept, {"column.max": beyond}, FORMAT)["success"]
    assert gx_compat.with_arguments(built, {}) is built


def test_a_metric_is_judged_with_its_observed_value() -> None:
    built = gx_compat.domain_object("expect_column_sum_to_be_between", {"column": "c", "min_value": 1})
    answer = gx_compat.judged(built, {"column.sum": Decimal("0.9")}, FORMAT)
    assert (answer["success"], answer["result"]["observed_value"]) == (False, Decimal("0.9"))


def test_counts_of_rows_are_judged_by_mostly() -> None:
    built = gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": 4, "mostly": 0.5})
    counts = {
        "table.row_count": 3,
        "column_values.nonnull.unexpected_count": 1,
        "column_values.between.filtered_row_count": 2,
        "column_values.between.unexpected_count": 1,
    }
    answer = gx_compat.judged(built, counts, FORMAT, gx_compat.engine_over(FRAME))
    assert answer["success"]
    assert (answer["result"]["unexpected_count"], answer["result"]["missing_count"]) == (1, 1)


def test_a_suite_is_validated_without_a_data_context_and_each_result_has_its_meta() -> None:
    suite = [
        gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": bound}, {"number": bound}) for bound in (4, 9)
    ]
    results = gx_compat.validated(FRAME, suite, FORMAT)
    assert {r.expectation_config.meta["number"]: r.success for r in results} == {4: False, 9: True}
    assert all("raised_exception" in str(r.exception_info) or not r.exception_info for r in results)


def test_an_exception_of_a_metric_is_in_the_results() -> None:
    built = gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": 4}, {"number": 1})
    (result,) = gx_compat.validated(pd.DataFrame({"c": ["text"]}), [built], FORMAT)
    assert not result.success
    assert result.exception_info


def test_the_records_of_an_expectation_are_those_its_arguments_leave() -> None:
    frame = pd.DataFrame({"a": [1, None, None], "b": [1, 2, None]})
    pair = {"column_A": "a", "column_B": "b", "ignore_row_if": "both_values_are_missing"}
    built = gx_compat.domain_object("expect_column_pair_values_to_be_equal", pair)
    total, considered, domain = gx_compat.records(gx_compat.engine_over(frame), built, FORMAT)
    assert (list(total.index), list(considered.index)) == ([0, 1, 2], [0, 1])
    assert "column" not in domain


def test_the_unexpected_rows_are_those_of_the_condition_metric_by_exact_arguments() -> None:
    frame = pd.DataFrame({"c": pd.Series([4567890123456789012, 4567890123456789013], dtype=object)})
    built = gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": 4567890123456789012})
    engine = gx_compat.engine_over(frame)
    exact = {"max_value": 4567890123456789012}
    assert list(gx_compat.unexpected(engine, built, FORMAT, exact)) == [False, True]


def test_a_metric_that_cannot_be_computed_is_raised() -> None:
    built = gx_compat.domain_object(BETWEEN, {"column": "c", "max_value": 4})
    with pytest.raises(Exception, match=r"."):
        gx_compat.unexpected(gx_compat.engine_over(pd.DataFrame({"c": ["text"]})), built, FORMAT, {})


def test_no_other_module_names_great_expectations() -> None:
    from pathlib import Path

    import convergence_assets.quality

    folder = Path(str(convergence_assets.quality.__file__)).parent
    naming = [
        f.name for f in folder.glob("*.py") if "great_expectations." in f.read_text() or "._validate(" in f.read_text()
    ]
    assert naming == ["gx_compat.py"]
