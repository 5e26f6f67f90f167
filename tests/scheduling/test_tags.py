"""The tags of a run that the planner asks for: those that somebody reads, and no others."""

import json

import pytest

from convergence_assets.assets.tags import run_tags
from convergence_assets.scheduling.capacity import Launch
from convergence_assets.scheduling.launching import run_request
from tests.scheduling.world import START, target

LAUNCH = Launch("acme/a/2026-03-01/v0/a1", target("acme"), START, START, newest=True)


def test_a_pod_is_told_its_tenant_and_a_run_elsewhere_has_no_word_of_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    own = {"tenant", "pipeline", "convergence/trigger", "convergence/request", "dagster/priority"}
    assert set(run_request(LAUNCH).tags or ()) == own
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    config = json.loads((run_request(LAUNCH).tags or {})["dagster-k8s/config"])
    assert config["container_config"]["env"] == [{"name": "CONVERGENCE_ONLY_TENANTS", "value": "acme"}]


def test_what_a_person_asked_for_says_whose_it_is_alone() -> None:
    assert run_tags("acme", "a", START, START, "manual") == {"tenant": "acme", "pipeline": "a"}
