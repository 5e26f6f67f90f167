"""When pods start, are probed, scaled, evicted and ended; it fits what their processes do."""

import shutil
from pathlib import Path

from fastapi.routing import APIRoute

from convergence_assets.api import readiness, server
from convergence_assets.api.health import health
from convergence_assets.settings import Settings
from tests.kubernetes.chart import chart_values
from tests.kubernetes.manifests import FOLDER, ROOT, PodTemplate, find, kustomize
from tests.kubernetes.pods import API, pod_template, pod_templates, variables

LOAD_CPU_SECONDS = 10.8
"""What a thousand tenants take until their definitions are loaded and packed (`python -m benchmarks.load`)."""


def test_the_api_has_ended_by_itself_before_it_is_killed(environment: str) -> None:
    spec = pod_template(environment, API).spec
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = server.DRAIN_SECONDS + server.SETTLING_SECONDS + server.GRACE_SECONDS
    assert spec["terminationGracePeriodSeconds"] >= pause + shutdown + 5
    # Long enough for kube-proxy and load balancers to learn that the pod is going.
    assert pause >= 5


def test_a_process_has_three_times_as_long_to_start_as_a_thousand_tenants_take(
    environment: str, template: PodTemplate
) -> None:
    for container in template.spec["containers"]:
        probe = container.get("startupProbe")
        assert bool(probe) == bool(container.get("livenessProbe")), "it would be ended while it starts"
        if probe:
            budget = probe.get("initialDelaySeconds", 0) + probe["periodSeconds"] * probe["failureThreshold"]
            assert budget > 3 * LOAD_CPU_SECONDS / _cores(container["resources"]["requests"]["cpu"])


def _cores(cpu: str) -> float:
    return float(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)


def test_who_serves_requests_has_probes() -> None:
    probed = {
        template.name for template in pod_templates("production") if "startupProbe" in template.spec["containers"][0]
    }
    assert probed == {API, "dagster-webserver", "dagster-tenants"}


def test_the_api_is_probed_where_it_answers_without_a_key(environment: str) -> None:
    (container,) = pod_template(environment, API).spec["containers"]
    open_paths = {
        route.path for route in health.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["path"] for probe in probes.values()} <= open_paths
    assert probes["readiness"]["path"] == "/health/ready"
    # Ended and started again, it would not be any more ready.
    assert probes["liveness"]["path"] == probes["startup"]["path"] == "/health/live"
    (port,) = container["ports"]
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert port["containerPort"] == Settings.from_env(variables(environment, container)).api_port
    assert container["readinessProbe"]["timeoutSeconds"] > readiness.PART_SECONDS + 1


def test_dagsters_processes_are_probed_where_they_listen(environment: str) -> None:
    import dagster_webserver.webserver

    source = Path(dagster_webserver.webserver.__file__).read_text()
    webserver = chart_values(environment)["dagsterWebserver"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = webserver[name]["httpGet"]
        assert get["port"] == webserver["service"]["port"]
        assert f'Route("{get["path"]}"' in source


def test_the_autoscaler_and_the_budget_leave_one_pod_that_may_go(environment: str) -> None:
    scaler = find(environment, "HorizontalPodAutoscaler", API)["spec"]
    target = scaler["scaleTargetRef"]
    assert "replicas" not in find(environment, target["kind"], target["name"])["spec"], "applying would scale it back"
    assert 1 <= scaler["minReplicas"] <= scaler["maxReplicas"]
    assert find(environment, "PodDisruptionBudget", API)["spec"]["maxUnavailable"] == 1
    # A share of what is requested: without a request there is nothing to scale by.
    assert all(c["resources"]["requests"]["cpu"] for c in pod_template(environment, API).containers)


def test_production_survives_the_loss_of_a_node() -> None:
    assert find("production", "HorizontalPodAutoscaler", API)["spec"]["minReplicas"] >= 2
    spread = {
        constraint["topologyKey"] for constraint in pod_template("production", API).spec["topologySpreadConstraints"]
    }
    assert spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_no_run_is_evicted_while_it_works(environment: str) -> None:
    allowed = chart_values(environment)["additionalInstanceConfig"]["concurrency"]["runs"]["max_concurrent_runs"]
    budget = find(environment, "PodDisruptionBudget", "convergence-run")["spec"]
    # https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors
    assert type(budget["minAvailable"]) is int
    assert budget["minAvailable"] > 10 * allowed


def test_a_run_never_takes_the_place_of_another_pod(environment: str) -> None:
    priority = find(environment, "PriorityClass", "convergence-run")
    assert priority["value"] < 0
    assert priority["preemptionPolicy"] == "Never"
    assert not priority["globalDefault"]
    classes = {p.name: p.spec.get("priorityClassName") for p in pod_templates(environment)}
    assert {name for name, chosen in classes.items() if chosen} == {"convergence-run"}
    assert classes["convergence-run"] == priority["metadata"]["name"]


def test_a_process_can_write_to_tmp_and_asks_for_what_it_needs(environment: str, template: PodTemplate) -> None:
    for container in template.spec["containers"]:
        written = [mount for mount in container["volumeMounts"] if mount["name"] == "tmp"]
        assert written == [{"name": "tmp", "mountPath": "/tmp"}]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}, (
            "a limit on CPU slows it down while cores are idle"
        )


def test_pods_start_anew_when_their_configuration_changes_and_only_then(tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "kubernetes")
    overlay = copied / "overlays" / "production"

    def versions() -> set[str]:
        rendered = kustomize(overlay)
        maps = {
            manifest["metadata"]["name"]: manifest["data"] for manifest in rendered if manifest["kind"] == "ConfigMap"
        }
        named = {
            manifest["spec"]["template"]["metadata"]["annotations"]["convergence-config-version"]
            for manifest in rendered
            if manifest["kind"] == "Deployment"
        }
        assert maps.keys() == {"convergence-config"} | named
        assert [maps[name] for name in named] == [maps["convergence-config"]]
        return named

    before = versions()
    assert len(before) == 1
    with (overlay / "config.env").open("a") as config:
        config.write("CONVERGENCE_API_PER_MINUTE=200\n")
    after = versions()
    assert not after & before
    assert versions() == after


def test_the_figures_of_the_guide_are_those_of_the_manifests() -> None:
    guide = " ".join((ROOT / "docs" / "KUBERNETES.md").read_text().split())
    pause = pod_template("production", API).spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = server.DRAIN_SECONDS + server.SETTLING_SECONDS + server.GRACE_SECONDS
    assert f"{pause} seconds more" in guide
    assert f"then has {shutdown:.0f} seconds" in guide
    scaler = find("production", "HorizontalPodAutoscaler", API)["spec"]
    share = scaler["metrics"][0]["resource"]["target"]["averageUtilization"]
    assert f"{scaler['minReplicas']} to {scaler['maxReplicas']} pods, at {share} %" in guide
    run = pod_template("production", "convergence-run").spec
    assert f"it has {run['terminationGracePeriodSeconds']} seconds" in guide
