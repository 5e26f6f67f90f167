"""What people do to a deployment with kubectl: the lines of docs/KUBERNETES.md, and what each of them brings about."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tools
from tests.kubernetes.chart import chart_values
from tests.kubernetes.cluster import Cluster, Object
from tests.kubernetes.cluster_api import ClusterApi
from tests.kubernetes.manifests import ROOT, manifests

API = "convergence-data-pipeline"
NAMESPACE = "convergence"
GUIDE = ROOT / "docs" / "KUBERNETES.md"
OVERLAY = "deploy/kubernetes/overlays/production"
NOT_RUN = ("helm ", "kubectl exec ")


class Deployment:
    """A cluster and the terminal of somebody who is logged in to it."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster()
        self._api = ClusterApi(self.cluster, logs="a line of the log\n")
        self._folder = folder

    def start(self) -> None:
        self._api.start()
        config = self._api.kubeconfig(self._folder / "kubeconfig", NAMESPACE)
        kubectl = Path(tools.kubectl())
        self.environ = {
            "PATH": f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(self._folder),
            "KUBECONFIG": str(config),
        }  # fmt: skip

    def stop(self) -> None:
        self._api.stop()

    def tried(self, line: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=ROOT, env=self.environ | more, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip

    def run(self, line: str, **more: str) -> str:
        done = self.tried(line, **more)
        while "triggered within the past second" in done.stdout:
            done = self.tried(line, **more)
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout

    def apply(self) -> None:
        """As `kubectl apply -k` would, and the chart's Deployments."""
        for manifest in manifests("production"):
            if manifest["kind"] != "Job":
                self.cluster.put(manifest)
        self.install_chart()

    def install_chart(self) -> None:
        """The Deployments of the chart, as far as commands name them."""
        (server,) = chart_values("production")["dagster-user-deployments"]["deployments"]
        for name in ("daemon", "webserver", server["name"]):
            labels = {"app.kubernetes.io/instance": "dagster", "component": name}
            container = {"name": "dagster", "image": "registry.example/convergence:0.1.0"}
            self.cluster.put({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": f"dagster-{name}", "namespace": NAMESPACE, "labels": labels},
                "spec": {
                    "replicas": 1, "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            })  # fmt: skip

    def launch(self, run: str) -> str:
        """The Job of a run that works; the name of its pod."""
        labels = {"app": "convergence-run"}
        container = {"name": "dagster", "image": "registry.example/convergence:0.1.0", "args": ["execute_run"]}
        self.cluster.put({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": run, "namespace": NAMESPACE, "labels": labels},
            "spec": {"template": {
                "metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]},
            }},
        })  # fmt: skip
        return self.names({"batch.kubernetes.io/job-name": run})[0]

    def names(self, labels: dict[str, str] | None = None) -> list[str]:
        """Of the pods, of the API where no label is given."""
        return [pod["metadata"]["name"] for pod in self.cluster.all("Pod", NAMESPACE, labels or {"app": API})]

    def template(self) -> Object:
        spec: Object = self.cluster.get("Deployment", API, NAMESPACE)["spec"]["template"]["spec"]
        return spec


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Deployment]:
    """An empty cluster."""
    deployment = Deployment(tmp_path)
    deployment.start()
    yield deployment
    deployment.stop()


@pytest.fixture
def deployment(bare: Deployment) -> Deployment:
    """All of production, the chart's part included."""
    bare.apply()
    return bare


def documented() -> list[str]:
    """The lines of the guide that are to be typed, in their order."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.slow
def test_every_line_of_the_guide_works_in_its_order(bare: Deployment, tmp_path: Path) -> None:
    (tmp_path / "postgresql-password").write_text("a-password")
    (tmp_path / "convergence-config.env").write_text("CONVERGENCE_ADMIN_KEY=an-operators-key-of-its-own\n")
    lines = documented()
    assert len(lines) > 40
    bare.launch("run")
    for line in lines:
        if line.startswith(NOT_RUN):
            if line.startswith("helm upgrade --install"):
                bare.install_chart()
            continue
        assert line.startswith("kubectl "), line
        if line.startswith("kubectl drain"):
            bare.cluster.finish("run", NAMESPACE)
        pod = bare.names()[0] if bare.names() else ""
        bare.run(line, SECRETS=str(tmp_path), NODE="node-a", POD=pod)
    assert bare.cluster.get("Secret", "convergence-config", NAMESPACE)["data"].keys() == {"CONVERGENCE_ADMIN_KEY"}


def test_the_guide_says_which_of_its_lines_were_not_run() -> None:
    table = re.findall(r"^\| `([a-z ]+)` \| not tested: ", GUIDE.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(words.strip() for words in NOT_RUN)
    assert all(any(line.startswith(words) for line in documented()) for words in NOT_RUN)


def test_applying_makes_every_object_and_a_second_time_changes_no_pod(bare: Deployment) -> None:
    bare.run(f"kubectl apply -k {OVERLAY}")
    for manifest in manifests("production"):
        if manifest["kind"] != "Job":
            bare.cluster.get(manifest["kind"], manifest["metadata"]["name"], NAMESPACE)
    before = bare.names()
    assert len(before) == 2  # the autoscaler's least
    bare.run(f"kubectl apply -k {OVERLAY}")
    assert bare.names() == before


def test_a_manifest_with_a_misspelled_key_is_refused(bare: Deployment, tmp_path: Path) -> None:
    wrong = (ROOT / "deploy/kubernetes/base/runs.yaml").read_text().replace("minAvailable", "minAvailabel")
    (tmp_path / "wrong.yaml").write_text(wrong)
    refused = bare.tried(f"kubectl apply -f {tmp_path / 'wrong.yaml'}")
    assert refused.returncode == 1
    assert "minAvailabel" in refused.stdout


RESTARTS: list[Callable[[Deployment], object]] = [
    lambda deployment: deployment.run(f"kubectl rollout restart deployment/{API}"),
    lambda deployment: deployment.run(
        f"kubectl patch deployment {API} "
        """-p '{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"'$(date +%FT%T%z)'"}}}}}'"""
    ),
]


@pytest.mark.parametrize("restart", RESTARTS, ids=["rollout restart", "patch"])
def test_a_restart_replaces_every_pod(deployment: Deployment, restart: Callable[[Deployment], object]) -> None:
    before = deployment.names()
    restart(deployment)
    deployment.run(f"kubectl rollout status deployment/{API} --timeout=10s")
    after = deployment.names()
    assert len(after) == len(before) == 2
    assert not set(after) & set(before)


def test_one_line_restarts_what_is_the_charts_and_nothing_else(deployment: Deployment) -> None:
    own, chart = deployment.names(), deployment.names({"app.kubernetes.io/instance": "dagster"})
    deployment.run("kubectl rollout restart deployment -l app.kubernetes.io/instance=dagster")
    assert deployment.names() == own
    assert not set(deployment.names({"app.kubernetes.io/instance": "dagster"})) & set(chart)
    assert len(chart) == 3


def test_a_variable_is_set_beside_the_others_and_taken_back(deployment: Deployment) -> None:
    before = deployment.template()["containers"][0]["env"]
    deployment.run(f"kubectl set env deployment/{API} GCP_PROJECT_ID=another-project")
    after = deployment.template()["containers"][0]["env"]
    assert after == [*before, {"name": "GCP_PROJECT_ID", "value": "another-project"}]
    deployment.run(f"kubectl set env deployment/{API} GCP_PROJECT_ID-")
    assert deployment.template()["containers"][0]["env"] == before


def test_a_config_map_is_edited_and_read_by_new_pods(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "configmap.yaml"
    file.write_text(deployment.run("kubectl get configmap convergence-config -o yaml").replace("json", "text"))
    before = deployment.names()
    deployment.run(f"kubectl apply -f {file} && kubectl rollout restart deployment/{API}")
    data = deployment.cluster.get("ConfigMap", "convergence-config", NAMESPACE)["data"]
    assert data["CONVERGENCE_LOG_FORMAT"] == "text"
    assert not set(deployment.names()) & set(before)


def test_resources_are_set_and_the_requests_stay(deployment: Deployment) -> None:
    requests = deployment.template()["containers"][0]["resources"]["requests"]
    deployment.run(f"kubectl set resources deployment {API} --limits=cpu=4,memory=8Gi")
    resources = deployment.template()["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "4", "memory": "8Gi"}, "requests": requests}


@pytest.mark.parametrize(("requested", "pods"), [(10, 10), (1, 2), (25, 10)])
def test_the_api_is_scaled_within_the_bounds_of_its_autoscaler(
    deployment: Deployment, requested: int, pods: int
) -> None:
    deployment.run(f"kubectl scale deployment {API} --replicas={requested}")
    assert len(deployment.names()) == pods


def test_the_least_number_of_pods_is_raised(deployment: Deployment) -> None:
    deployment.run(f"""kubectl patch hpa {API} -p '{{"spec":{{"minReplicas":5}}}}'""")
    assert len(deployment.names()) == 5


def test_the_grace_period_is_patched_and_nothing_else(deployment: Deployment) -> None:
    before = deployment.template()
    grace = '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":60}}}}'
    deployment.run(f"kubectl patch deployment {API} -p '{grace}'")
    assert deployment.template() == before | {"terminationGracePeriodSeconds": 60}


def test_a_release_that_cannot_start_stops_nothing_and_is_undone(deployment: Deployment) -> None:
    serving, good = deployment.names(), deployment.template()
    deployment.cluster.missing_images.add("registry.example/convergence:9.9.9")
    deployment.run(f"kubectl set image deployment/{API} api=registry.example/convergence:9.9.9")
    late = deployment.tried(f"kubectl rollout status deployment/{API} --timeout=2s")
    assert late.returncode == 1
    assert set(serving) < set(deployment.names())
    deployment.run(f"kubectl rollout undo deployment/{API}")
    deployment.run(f"kubectl rollout status deployment/{API} --timeout=10s")
    assert deployment.template() == good
    assert deployment.names() == serving


@pytest.mark.slow
def test_a_drain_moves_the_api_and_waits_for_the_run(deployment: Deployment) -> None:
    runs = [deployment.launch(f"run-{number}") for number in range(2)]
    drained = {deployment.cluster.get("Pod", name, NAMESPACE)["spec"]["nodeName"]: name for name in runs}
    node, run = next(iter(drained.items()))
    drain = f"kubectl drain {node} --ignore-daemonsets --delete-emptydir-data"
    assert "would violate the pod's disruption budget" in deployment.tried(f"{drain} --timeout=4s").stdout
    assert set(runs) <= set(deployment.names({"app": "convergence-run"}))
    nodes = {deployment.cluster.get("Pod", name, NAMESPACE)["spec"]["nodeName"] for name in deployment.names()}
    assert node not in nodes
    assert len(deployment.names()) == 2
    end = threading.Timer(1.0, deployment.cluster.finish, [run.rpartition("-")[0], NAMESPACE])
    end.start()
    deployment.run(f"{drain} --timeout=30s")
    end.join()
    assert deployment.names({"app": "convergence-run"}) == [name for name in runs if name != run]


def test_the_migrations_run_again_with_every_release(deployment: Deployment) -> None:
    uids = []
    for _ in range(2):
        deployment.run("kubectl delete job convergence-migrate --ignore-not-found")
        deployment.run(f"kubectl apply -k {OVERLAY}/migrate")
        deployment.run("kubectl wait --for=condition=complete job/convergence-migrate --timeout=10s")
        uids.append(deployment.cluster.get("Job", "convergence-migrate", NAMESPACE)["metadata"]["uid"])
    assert len(set(uids)) == 2
    assert deployment.run("kubectl logs job/convergence-migrate --all-containers").count("a line of the log") == 2
