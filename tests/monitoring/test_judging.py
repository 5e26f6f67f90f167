"""What counts as stuck: each kind from its limit on, never before, and a healthy run never."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.control.remediations import Part
from convergence_assets.monitoring.stuck import LONGEST_RANGE, Activity, judge_activity
from convergence_assets.tenancy.tenant import StuckLimits

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIMITS = StuckLimits()
DAY = date(2026, 11, 19)
MINUTE = timedelta(minutes=1)


def activity(status: str, since: timedelta, silent: timedelta | None = None, **more: Any) -> Activity:
    parts = (Part("acme", "costs", DAY, DAY),)
    last = NOW - (since if silent is None else silent)
    return replace(Activity("run", status, parts, NOW - since, last), **more)


@pytest.mark.parametrize(
    ("status", "kind", "limit"),
    [
        ("QUEUED", "queued", LIMITS.queued),
        ("NOT_STARTED", "queued", LIMITS.queued),
        ("STARTING", "starting", LIMITS.starting),
        ("CANCELING", "canceling", LIMITS.canceling),
    ],
)
def test_a_run_is_stuck_once_it_is_longer_in_a_state_than_its_limit(status: str, kind: str, limit: timedelta) -> None:
    assert judge_activity(activity(status, limit), LIMITS, NOW) is None
    found = judge_activity(activity(status, limit + MINUTE), LIMITS, NOW)
    assert found is not None
    assert (found.kind, found.limit) == (kind, limit)
    assert "(limit " in found.sentence


def test_a_run_that_tells_of_itself_may_take_as_long_as_its_pipeline_allows() -> None:
    assert judge_activity(activity("STARTED", LIMITS.running, silent=MINUTE), LIMITS, NOW) is None
    late = judge_activity(activity("STARTED", LIMITS.running + MINUTE, silent=MINUTE), LIMITS, NOW)
    assert late is not None
    assert late.kind == "over_duration"


def test_a_run_without_an_event_for_too_long_makes_no_progress() -> None:
    assert judge_activity(activity("STARTED", MINUTE * 20, silent=LIMITS.no_progress), LIMITS, NOW) is None
    silent = judge_activity(activity("STARTED", MINUTE * 20, silent=LIMITS.no_progress + MINUTE), LIMITS, NOW)
    assert silent is not None
    assert silent.kind == "no_progress"


def test_a_run_over_many_days_may_take_longer_but_not_for_ever() -> None:
    month = (Part("acme", "costs", DAY - timedelta(days=29), DAY),)
    long = activity("STARTED", timedelta(hours=20), silent=MINUTE, parts=month)
    assert judge_activity(long, LIMITS, NOW) is None
    longer = activity("STARTED", LONGEST_RANGE + MINUTE, silent=MINUTE, parts=month)
    found = judge_activity(longer, LIMITS, NOW)
    assert found is not None
    assert found.kind == "over_duration"


def test_a_dead_process_is_dead_whatever_else_the_run_says() -> None:
    for status, kind in (("STARTING", "dead"), ("STARTED", "dead"), ("CANCELING", "canceled")):
        found = judge_activity(activity(status, MINUTE, gone=True), LIMITS, NOW)
        assert found is not None
        assert found.kind == kind


def test_a_run_in_a_queue_that_moves_is_not_stuck_however_long_it_waits() -> None:
    waiting = activity("QUEUED", timedelta(days=2), moved_at=NOW - LIMITS.queued)
    assert judge_activity(waiting, LIMITS, NOW) is None
    unmoved = activity("QUEUED", timedelta(days=2), moved_at=NOW - LIMITS.queued - MINUTE)
    found = judge_activity(unmoved, LIMITS, NOW)
    assert found is not None
    assert found.since == NOW - LIMITS.queued - MINUTE


@given(
    status=st.sampled_from(["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING", "SUSPENDED", "A_NEW_ONE"]),
    share=st.floats(0, 1),
    silent_share=st.floats(0, 1),
    days=st.integers(1, 400),
)
def test_a_run_within_all_of_its_limits_is_never_stuck(
    status: str, share: float, silent_share: float, days: int
) -> None:
    limit = {
        "QUEUED": LIMITS.queued, "NOT_STARTED": LIMITS.queued, "STARTING": LIMITS.starting,
        "STARTED": LIMITS.running, "CANCELING": LIMITS.canceling,
    }.get(status, timedelta(days=900))  # fmt: skip
    silent = min(LIMITS.no_progress, limit * share) * silent_share
    parts = (Part("acme", "costs", DAY - timedelta(days=days - 1), DAY),)
    assert judge_activity(activity(status, limit * share, silent=silent, parts=parts), LIMITS, NOW) is None
