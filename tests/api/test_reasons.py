"""What waits says why, and what a failed run never came to does not wait."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from convergence_assets.control import partition_states
from convergence_assets.scheduling.explain import UNSEEN
from tests.api.service import DAY, Service

LINES, TOTALS = (dg.AssetKey(["acme", "demo_costs", table]) for table in ("lines", "totals"))
DAILY = dg.DailyPartitionsDefinition("2026-01-01")


def test_days_of_a_pipeline_that_no_code_location_has_loaded_say_so(fresh: Service) -> None:
    body = fresh.post("/api/v1/pipelines/demo_costs/runs", {"partition": "2026-04-02"}).json()
    (waiting,) = body["waiting"]
    assert waiting["reason"] == f"requested over the API; {UNSEEN}"
    store = fresh.deployment.store
    with store.write() as connection:
        partition_states.write_progress(
            connection, ("acme", "demo_costs"), partition_states.Progress(DAY, DAY, DAY), store.now()
        )
    (waiting,) = fresh.get(f"/api/v1/requests/{body['request_id']}").json()["waiting"]
    assert waiting["reason"] == "requested over the API"


@dg.asset(key=LINES, partitions_def=DAILY)
def lines(context: dg.AssetExecutionContext) -> Iterator[Any]:
    raise dg.Failure("the source was away")
    yield


@dg.asset(key=TOTALS, deps=[LINES], partitions_def=DAILY)
def totals() -> None:
    return None


def test_the_steps_after_one_that_failed_are_skipped_and_do_not_wait(fresh: Service) -> None:
    instance = fresh.deployment.instance
    result = dg.materialize([lines, totals], instance=instance, partition_key=str(DAY), raise_on_error=False)
    fresh.follow()
    shown = fresh.get(f"/api/v1/executions/{result.run_id}").json()
    assert [(step["table"], step["status"]) for step in shown["steps"]] == [("lines", "failed"), ("totals", "skipped")]
