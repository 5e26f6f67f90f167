"""deploy/kubernetes/deploy.sh, which the workflow `deploy` runs: it applies a release, and takes it back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.chart import chart_values
from tests.kubernetes.manifests import ROOT
from tests.kubernetes.test_chart_values import KEYS
from tests.kubernetes.test_kubectl import API, NAMESPACE, Deployment

SCRIPT = "deploy/kubernetes/deploy.sh"
HELM = """#!/usr/bin/env bash
echo "$@" >> "$HOME/helm.log"
if [ "$1" = list ]; then printf -- '- app_version: 1.13.27\\n  name: dagster\\n  revision: "7"\\n'; fi
"""
"""The chart's Deployments are there already; of helm, only what it was asked is seen."""


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    found = Deployment(tmp_path)
    found.start()
    helm = tmp_path / "bin" / "helm"
    helm.parent.mkdir()
    helm.write_text(HELM)
    helm.chmod(0o755)
    found.environ["PATH"] = f"{helm.parent}:{found.environ['PATH']}"
    yield found
    found.stop()


def commands_run(folder: Path) -> list[str]:
    return (folder / "helm.log").read_text().splitlines()


@pytest.mark.slow
def test_a_release_whose_pods_do_not_start_is_undone(deployment: Deployment, tmp_path: Path) -> None:
    deployment.apply()
    former = deployment.template()["containers"][0]["image"]
    deployment.run(f"{SCRIPT} save {tmp_path}/former")

    deployment.run(f"kubectl set image deployment/{API} api=registry.example/convergence:9.9.9")  # as a release does
    assert deployment.template()["containers"][0]["image"] != former
    deployment.run(f"{SCRIPT} undo {tmp_path}/former")
    assert deployment.template()["containers"][0]["image"] == former
    assert commands_run(tmp_path)[-1] == "rollback dagster 7"


@pytest.mark.slow
def test_a_release_is_migrated_first_then_rolled_out(deployment: Deployment, tmp_path: Path) -> None:
    deployment.install_chart()
    deployment.run("kubectl apply -f deploy/kubernetes/overlays/production/namespace.yaml")
    deployment.run(f"{SCRIPT} save {tmp_path}/former")
    assert (tmp_path / "former" / API).read_text() == ""
    deployment.run(f"{SCRIPT} apply {tmp_path}/former production")
    assert deployment.cluster.get("Job", "convergence-migrate", NAMESPACE)["status"]["succeeded"] == 1
    assert deployment.cluster.get("Deployment", API, NAMESPACE)
    (upgrade,) = [line for line in commands_run(tmp_path) if line.startswith("upgrade")]
    assert upgrade.startswith(f"upgrade --install dagster dagster/dagster --version {KEYS['version']} ")
    for values in ("deploy/kubernetes/values.yaml", "deploy/kubernetes/overlays/production/values.yaml"):
        assert f"-f {ROOT / values}" in upgrade
    (server,) = chart_values("production")["dagster-user-deployments"]["deployments"]
    assert f"dagster-{server['name']}" in (ROOT / SCRIPT).read_text()
