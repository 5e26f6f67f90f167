"""From a run to a message, and to a panel: the API's series in a real Prometheus, its alerts in a real Alertmanager."""

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs.schema import RunsTable

from convergence_assets.api.deployment import Deployment
from convergence_assets.control.workers import Workers
from convergence_assets.monitoring import metrics
from convergence_assets.process import this_process
from tests.alerting.receivers import Receiver
from tests.api.service import Service, furnish, indexed, running, serving
from tests.monitoring.prometheus import PACK, Prometheus, alertmanager, prometheus, wait_until
from tests.monitoring.test_pack import happen

QUEUED_FOR = timedelta(hours=3)
pytestmark = pytest.mark.live
GRAFANAS = {"$__rate_interval": "1m", "$tenant": ".*"}
"""What Grafana puts in place of its variables, with all tenants chosen."""


@dataclass
class Scraped:
    """Two instances of the API over one store, the Prometheus that scrapes both, what Alertmanager sends on."""

    service: Service
    prometheus: Prometheus
    receiver: Receiver
    alertmanager: str

    def alerts(self) -> list[dict[str, Any]]:
        """The active ones of Alertmanager."""
        answer: list[dict[str, Any]] = httpx.get(f"http://{self.alertmanager}/api/v2/alerts").json()
        return answer

    def pages(self, alert: str, action: str) -> list[dict[str, Any]]:
        """What PagerDuty was told of an alert."""
        events = [body for path, body in self.receiver.got if path == "/pagerduty"]
        return [e for e in events if e["event_action"] == action and alert in json.dumps(e["payload"])]


@contextmanager
def scraped(home: Path) -> Iterator[Scraped]:
    receiver = Receiver()
    try:
        with (
            serving(home) as service,
            Deployment.opened(service.settings, service.deployment.instance) as second,
            running(second) as url,
            alertmanager(home, receiver.place) as place,
        ):
            furnish(service)
            apis = [httpx.URL(address).netloc.decode() for address in (service.url, url)]
            with prometheus(home, apis, [place]) as started:
                yield Scraped(service, started, receiver, place)
    finally:
        receiver.stop()


@pytest.fixture(autouse=True)
def every_scrape_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_FOR", timedelta(seconds=0.5))


def queued_long_ago(service: Service) -> str:
    """A run that nobody took out of the queue."""
    instance, key = service.deployment.instance, dg.AssetKey(["acme", "demo_costs", "lines"])
    run = dg.DagsterRun(
        "__ASSET_JOB", asset_selection=frozenset({key}), status=dg.DagsterRunStatus.NOT_STARTED,
        tags={"dagster/partition": "2026-03-01"},
    )  # fmt: skip
    instance.add_run(run)
    created = (datetime.now(UTC) - QUEUED_FOR).replace(tzinfo=None)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(
            sa.update(RunsTable).where(RunsTable.c.run_id == run.run_id).values(create_timestamp=created)
        )
    service.follow()
    return run.run_id


def test_a_stuck_run_is_one_page_until_it_ends_though_two_instances_tell_of_it(tmp_path: Path) -> None:
    with scraped(tmp_path) as world:
        wait_until(lambda: len(world.prometheus.query("up == 1")) == 2, "two instances are scraped")
        assert world.prometheus.query('ALERTS{alertname="PipelineStuck"}') == []
        run_id = queued_long_ago(world.service)
        wait_until(lambda: world.pages("PipelineStuck", "trigger"), "the run's alert is sent")
        assert len(world.prometheus.query('pipeline_oldest_queued_seconds{tenant="acme"} > 7800')) == 2
        (alert,) = [a for a in world.alerts() if a["labels"]["alertname"] == "PipelineStuck"]
        assert alert["labels"] == {
            "alertname": "PipelineStuck", "severity": "critical", "tenant": "acme", "job": "convergence"
        }  # fmt: skip
        assert alert["annotations"]["summary"].startswith("A run of acme waits for 3h 0m")
        assert [receiver["name"] for receiver in alert["receivers"]] == ["on-call"]
        world.service.deployment.instance.report_run_canceled(
            world.service.deployment.instance.get_run_by_id(run_id)  # type: ignore[arg-type]
        )
        world.service.follow()
        wait_until(lambda: world.pages("PipelineStuck", "resolve"), "its end is sent")
        assert len(world.pages("PipelineStuck", "trigger")) == 1
        # An incident that is open is a warning for the channel and pages nobody.
        wait_until(lambda: [body for path, body in world.receiver.got if path == "/slack"], "the channel is told")
        assert not world.pages("CriticalIncidentOpen", "trigger")


def test_every_panel_of_the_dashboard_is_answered(tmp_path: Path) -> None:
    with scraped(tmp_path) as world:
        wait_until(lambda: len(world.prometheus.query("up == 1")) == 2, "two instances are scraped")
        for _ in range(2):  # an increase needs a value before it
            happen(world.service)
            wait_until(after_another_scrape(world.prometheus), "Prometheus scrapes")
        queued_long_ago(world.service)
        world.service.index(indexed("at-work", status="running", ended_at=None))
        Workers(world.service.deployment.store).record("at-work", this_process())
        empty = set(queries())
        assert len(empty) >= 18
        ends_at = time.monotonic() + 40
        while empty and time.monotonic() < ends_at:
            empty = {query for query in empty if not answered(world.prometheus, query)}
            time.sleep(0.2)
        assert empty == set()
        wait_until(
            lambda: world.prometheus.query("worker_resident_memory_bytes > 1e7"), "the worker's memory is scraped"
        )


def queries() -> list[str]:
    """Every panel's, with Grafana's variables replaced."""
    panels = json.loads((PACK / "dashboard.json").read_text())["panels"]
    texts = [target["expr"] for panel in panels for target in panel["targets"]]
    for variable, value in GRAFANAS.items():
        texts = [text.replace(variable, value) for text in texts]
    assert not [text for text in texts if re.search(r"\$\w", text)], "a variable that is not known here"
    return texts


def answered(started: Prometheus, query: str) -> bool:
    """Whether a series of the answer is a number."""
    return any(math.isfinite(float(series["value"][1])) for series in started.query(query))


def after_another_scrape(started: Prometheus) -> Any:
    def last() -> float:
        return min(float(series["value"][1]) for series in started.query('timestamp(up{job="convergence"})'))

    before = last()
    return lambda: last() > before
