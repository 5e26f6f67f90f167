"""Prometheus rules, Alertmanager and the dashboard: each rule fires and stays quiet as its test says, each series exists."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from fastapi import Request
from prometheus_client.parser import text_string_to_metric_families

from convergence_assets.api.http_metrics import RATE_LIMIT_HITS
from convergence_assets.api.metrics import _may_read
from convergence_assets.control import counters, runs
from convergence_assets.ledger.counting import increments
from convergence_assets.ledger.run_events import RunEnded
from convergence_assets.settings import Settings
from tests.api.service import ADMIN_KEY, Service, furnish, serving
from tests.tools import program

PACK = Path(__file__).parents[2] / "deploy" / "monitoring"
DOCUMENT = PACK.parents[1] / "docs" / "MONITORING.md"
SERIES = re.compile(r"\b([a-z_]+(?:_total|_bucket|_count|_sum|_seconds|_bytes|_days|_percent|_active|_progress))\b")
OF_PROMETHEUS = {"up"}


def named() -> set[str]:
    """Every series that a rule, a rule's test or a panel names."""
    rules = yaml.safe_load((PACK / "rules.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads((PACK / "dashboard.json").read_text())["panels"]
    expressions += [target["expr"] for panel in panels for target in panel["targets"]]
    return {name for text in expressions for name in SERIES.findall(text)} - OF_PROMETHEUS


def exposed(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scrape after something of everything has happened."""
    with serving(tmp_path_factory.mktemp("scraped")) as service:
        furnish(service)
        happen(service)
        answer = service.client.get("/metrics")
        assert answer.status_code == 200
        return answer.text


def happen(service: Service) -> None:
    assert service.get("/api/v1/pipelines").status_code == 200
    assert service.client.get("/api/v1/pipelines", headers={"x-api-key": "cvg_wrong_key"}).status_code == 401
    store = service.deployment.store
    with store.write() as connection:
        (run,) = runs.runs_page(connection, runs.RunFilter(tenant_id="acme", statuses=["succeeded"]), limit=1).runs
        for status in ("running", "queued"):
            runs.write_runs(connection, [replace(run, run_id=f"run-{status}", status=status, ended_at=None)])
        counters.add_counts(connection, increments((), [RunEnded(run, None, None, None)]))
        counted = {
            ("data_quality_checks", ("acme", "critical", "passed")): 1.0,
            ("data_quality_checks", ("acme", "critical", "failed")): 1.0, ("bigquery_jobs", ("acme", "succeeded", "")): 1.0,
            ("bigquery_bytes_billed", ("acme",)): 10.0, ("bigquery_job_duration_seconds_bucket", ("+Inf",)): 1.0,
            ("bigquery_job_duration_seconds_sum", ()): 1.0,
        }  # fmt: skip
        counters.add_counts(connection, counted)
    RATE_LIMIT_HITS.labels("acme").inc()


def test_every_series_that_a_rule_or_a_panel_names_is_one_of_a_scrape(scraped: str) -> None:
    series = named()
    assert len(series) > 15
    assert series - exposed(scraped) == set()


def test_the_document_lists_the_series_of_a_scrape_and_the_rules(scraped: str) -> None:
    text = DOCUMENT.read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    listed = [set(re.findall(r"`(\w+)`", row[1])) for row in rows]
    rules = yaml.safe_load((PACK / "rules.yml").read_text())
    alerts = {rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    assert {
        min(names): row[3].strip() for names, row in zip(listed, rows, strict=True) if names <= set(alerts)
    } == alerts
    series = set().union(*listed) - set(alerts)
    own = {family.name + "_total" * (family.type == "counter") for family in text_string_to_metric_families(scraped)}
    assert series <= own
    assert {name for name in own if not name.startswith("process_") and not name.endswith("_created")} <= series


def test_every_rule_has_a_series_that_makes_it_fire_and_one_that_does_not() -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), "test", "rules", "rules_test.yml"],
        cwd=PACK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load((PACK / "rules.yml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tests = {test["name"] for test in yaml.safe_load((PACK / "rules_test.yml").read_text())["tests"]}
    assert tests == {f"{name} {what}" for name in names for what in ("fires", "stays quiet")}


def test_with_two_replicas_of_the_api_every_rule_of_the_store_sees_the_same(tmp_path: Path) -> None:
    tests = yaml.safe_load((PACK / "rules_test.yml").read_text())
    of_store = []
    for case in tests["tests"]:
        series = case["input_series"]
        if any(one["series"].startswith(("http_", "auth_", "up", "host_")) for one in series):
            continue
        case["input_series"] = [
            {"series": at_replica(one["series"], name), "values": one["values"]} for one in series for name in "ab"
        ]
        of_store.append(case)
    assert len(of_store) >= 12
    tests["tests"], tests["rule_files"] = of_store, [str(PACK / "rules.yml")]
    (tmp_path / "two_replicas.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        [program("promtool", "prometheus"), "test", "rules", "two_replicas.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def at_replica(series: str, name: str) -> str:
    """The series as Prometheus has it of one replica."""
    metric, _, labels = series.partition("{")
    own = f'instance="10.0.0.{ord(name)}:8080",pod="api-{name}"'
    return f"{metric}{{{own}{',' + labels if labels.strip('}') else '}'}"


def test_prometheus_takes_the_configuration() -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "config", "prometheus.yml"],
        cwd=PACK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_that_the_document_shows(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(shown)
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_runbooks_that_rules_name_are_there() -> None:
    text = (PACK.parents[1] / "docs" / "RUNBOOK.md").read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in text.splitlines()
        if line[:3] == "## "
    }
    rules = yaml.safe_load((PACK / "rules.yml").read_text())
    links = {rule["annotations"]["runbook"] for group in rules["groups"] for rule in group["rules"]}
    assert {anchor.partition("#")[2] for anchor in links} - {""} <= anchors


@pytest.mark.parametrize(
    ("address", "header", "allowed"),
    [
        ("127.0.0.1", None, True), ("::1", None, True), ("10.1.2.3", None, False),
        ("10.1.2.3", f"Bearer {ADMIN_KEY}", True), ("10.1.2.3", "Bearer another", False),
    ],
)  # fmt: skip
def test_only_this_host_and_the_operator_may_scrape(address: str, header: str | None, allowed: bool) -> None:
    headers = [(b"authorization", header.encode())] if header else []
    request = Request({"type": "http", "headers": headers, "client": (address, 1)})
    assert _may_read(request, Settings.from_env({"CONVERGENCE_ADMIN_KEY": ADMIN_KEY})) is allowed
    assert _may_read(request, Settings.from_env({})) is (address in ("127.0.0.1", "::1"))


def test_a_scrape_is_text_and_no_route_of_the_document(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        answer: httpx.Response = service.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "/metrics" not in service.client.get("/openapi.json").json()["paths"]
