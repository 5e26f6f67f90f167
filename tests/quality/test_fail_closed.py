from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("great_expectations")

DAY = "2026-03-01"
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"


@pytest.mark.parametrize(
    ("type_", "kwargs", "error"),
    [
        (NOT_NULL, {"column": "cots"}, "no column 'cots'"),
        (BETWEEN, {"column": "name", "min_value": 1}, "same type"),
        (BETWEEN, {"column": "name"}, "cannot both be None"),
        (NOT_NULL, {}, "column"),
        (NOT_NULL, {"column": "cost", "surprise": 1}, "surprise"),
        ("expect_the_unexpected", {"column": "cost"}, "expect_the_unexpected"),
        ("expect_column_mean_to_be_between", {"column": "name", "min_value": 0}, "to numeric"),
        (NOT_NULL, {"column": "cost", "row_condition": "nowhere > 1", "condition_parser": "pandas"}, "nowhere"),
        ("expect_column_to_exist", {"column": "cost"}, "declared columns are not known"),
    ],
)
def test_an_expectation_that_cannot_be_judged_is_a_failed_check_with_its_error(
    one: Any, type_: str, kwargs: dict[str, Any], error: str
) -> None:
    outcome = one(type_, kwargs, {"cost": ("NUMERIC", ["1"]), "name": ("STRING", ["a"])})
    assert outcome.failed_partitions == (DAY,)
    assert error in str(outcome.error)
    assert outcome.observed_value is None


def test_one_expectation_that_raises_does_not_fail_its_neighbours(day: Any, suite_of: Any) -> None:
    suite = suite_of(
        (BETWEEN, {"column": "currency", "min_value": 1}),
        (NOT_NULL, {"column": "currency"}),
        ("expect_column_values_to_match_regex", {"column": "currency", "regex": "("}),
        (IN_SET, {"column": "currency", "value_set": ["EUR", "USD"]}),
    )
    outcomes = day.validate(suite)
    assert [bool(o.error) for o in outcomes] == [True, False, True, False]
    assert [o.passed for o in outcomes] == [False, True, False, True]


@pytest.fixture
def custom_expectations() -> tuple[str, str]:
    """Expectations of a plug-in: one raises while GX plans the validation, one leaves no result."""
    from great_expectations.expectations.expectation import BatchExpectation

    class ExpectPlanToFail(BatchExpectation):
        column: str

        def get_validation_dependencies(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no plan")

        def _validate(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    class ExpectSilence(BatchExpectation):
        column: str

        def _validate(self, *_: Any, **__: Any) -> Any:
            return {"success": True, "result": {}}

    return ExpectPlanToFail.expectation_type, ExpectSilence.expectation_type


def test_a_validation_that_fails_whole_fails_only_the_guilty(
    week: Any, suite_of: Any, custom_expectations: tuple[str, str]
) -> None:
    guilty, silent = custom_expectations
    suite = suite_of(
        (guilty, {"column": "currency"}),
        (NOT_NULL, {"column": "currency"}),
        (silent, {"column": "currency"}),
    )
    for staged in (week.only(DAY), week):
        raised, fine, no_result = staged.validate(suite)
        assert (raised.passed, "no plan" in str(raised.error)) == (False, True)
        assert (fine.passed, fine.error) == (True, None)
        assert (no_result.passed, "gave no result" in str(no_result.error)) == (False, True)


def test_a_result_that_great_expectations_drops_is_a_failed_check(
    day: Any, suite_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.validator.validator import Validator

    whole = Validator.graph_validate
    monkeypatch.setattr(Validator, "graph_validate", lambda *a, **k: whole(*a, **k)[1:])
    outcomes = day.validate(suite_of((NOT_NULL, {"column": "id"}), (NOT_NULL, {"column": "currency"})))
    assert [(o.passed, o.error) for o in outcomes] == [(False, "Great Expectations gave no result")] * 2


def test_an_empty_suite_has_no_outcomes(day: Any) -> None:
    assert day.validate([]) == ()
