"""What deploy/kubernetes/ says is valid for Kubernetes, and its parts agree with one another and with the code."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute

from convergence_assets.api.metrics import metrics
from convergence_assets.cli.commands import COMMANDS
from convergence_assets.environment_variables import VARIABLES
from convergence_assets.settings import Settings
from tests.kubernetes.chart import chart_values
from tests.kubernetes.manifests import ENVIRONMENTS, FOLDER, PodTemplate, find, manifests
from tests.kubernetes.pods import (
    API,
    POD_TEMPLATES,
    pod_template,
    pod_templates,
    secret_keys,
    secrets,
    selector,
    variables,
)
from tests.kubernetes.schemas import VERSIONS, Invalid, validate

OF_OTHERS = {"DAGSTER_HOME": "dagster", "DAGSTER_PG_PASSWORD": "dagster_k8s", "FORWARDED_ALLOW_IPS": "uvicorn"}
"""Variables that packages read, and the package of each."""


def test_these_are_all_pods(environment: str) -> None:
    assert sorted(template.name for template in pod_templates(environment)) == sorted(POD_TEMPLATES)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_kubernetes_takes(environment: str, version: str) -> None:
    custom = {manifest["kind"] for manifest in (*manifests(environment), *secrets()) if not validate(manifest, version)}
    assert custom == {"PodMonitor"}


def test_a_misspelled_key_is_not_taken() -> None:
    budget = find("production", "PodDisruptionBudget", API)
    wrong = budget | {"spec": budget["spec"] | {"maxUnavaileble": 1}}
    for version in VERSIONS:
        with pytest.raises(Invalid, match="maxUnavaileble"):
            validate(wrong, version)


def test_prometheus_scrapes_a_port_and_a_path_that_exist_with_a_token_that_is_defined(environment: str) -> None:
    spec = find(environment, "PodMonitor", API)["spec"]
    assert spec["selector"]["matchLabels"].items() <= pod_template(environment, API).labels.items()
    (endpoint,) = spec["podMetricsEndpoints"]
    # https://prometheus-operator.dev/docs/api-reference/api: PodMetricsEndpoint
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout", "authorization"}
    assert endpoint["port"] in {port["name"] for port in pod_template(environment, API).containers[0]["ports"]}
    assert endpoint["path"] in {route.path for route in metrics.routes if isinstance(route, APIRoute)}
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in secret_keys()[credentials["name"]]


def test_every_variable_is_one_that_something_reads(environment: str, template: PodTemplate) -> None:
    known = {variable.name for variable in VARIABLES} | OF_OTHERS.keys()
    ours = [container for container in template.containers if container["name"] != "init"]
    assert ours
    for container in ours:
        names = variables(environment, container).keys()
        assert names <= known, names - known
        assert "DAGSTER_PG_PASSWORD" in names


@pytest.mark.parametrize(("name", "package"), OF_OTHERS.items())
def test_a_variable_of_a_package_is_read_by_it(name: str, package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.origin
    sources = Path(spec.origin).parent.rglob("*.py")
    assert any(re.search(rf"\b{name}\b", file.read_text()) for file in sources)


def test_the_api_chooses_bigquery_and_would_start_with_itsvariables(environment: str) -> None:
    chosen = Settings.from_env(variables(environment, pod_template(environment, API).containers[0]))
    assert (chosen.warehouse, bool(chosen.project)) == ("bigquery", True)
    assert str(chosen.home).startswith("/tmp/")
    assert str(chosen.workspace) == "/dagster-workspace/workspace.yaml"


def test_every_secret_that_is_referred_to_is_defined(environment: str, template: PodTemplate) -> None:
    defined = secret_keys()
    referred = [
        variable["valueFrom"]["secretKeyRef"]
        for container in template.containers
        for variable in container.get("env", [])
        if "valueFrom" in variable
    ]
    for reference in referred:
        assert reference["key"] in defined[reference["name"]]
    sources = {
        source["secretRef"]["name"]
        for container in template.containers
        for source in container.get("envFrom", [])
        if "secretRef" in source
    }
    assert sources <= defined.keys()
    assert referred


def test_the_example_of_the_secrets_has_no_value_and_is_never_applied() -> None:
    assert {value for secret in secrets() for value in secret["stringData"].values()} == {""}
    for environment in ENVIRONMENTS:
        assert "Secret" not in {manifest["kind"] for manifest in manifests(environment)}


def test_what_settings_calls_a_secret_stands_in_the_secret_and_in_no_config_map() -> None:
    hidden = {"CONVERGENCE_ADMIN_KEY", "CONVERGENCE_METRICS_TOKEN", "REDIS_URL"}
    assert hidden == secret_keys()["convergence-config"]
    for environment in ENVIRONMENTS:
        for manifest in manifests(environment):
            if manifest["kind"] == "ConfigMap":
                assert not hidden & manifest["data"].keys()


def test_every_config_map_and_service_account_is_ours_or_the_charts(environment: str) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests(environment)}
    chart = chart_values(environment)["global"]["fullnameOverride"]
    maps = {name for kind, name in names if kind == "ConfigMap"} | {f"{chart}-instance", f"{chart}-workspace-yaml"}
    for template in pod_templates(environment):
        assert ("ServiceAccount", template.spec["serviceAccountName"]) in names
        mounted = {v["configMap"]["name"] for v in template.spec.get("volumes", []) if "configMap" in v}
        sources = {
            source["configMapRef"]["name"]
            for container in template.containers
            for source in container.get("envFrom", [])
            if "configMapRef" in source
        }
        assert mounted | sources <= maps
        volumes = {volume["name"] for volume in template.spec.get("volumes", [])}
        assert {m["name"] for c in template.containers for m in c.get("volumeMounts", [])} <= volumes


def test_one_image_with_a_version_is_in_every_pod(environment: str) -> None:
    images = {container["image"] for template in pod_templates(environment) for container in template.containers}
    for image in images:
        _, _, tag = image.rpartition(":")
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag), image
    assert len({image for image in images if "busybox" not in image}) == 1
    component = yaml.safe_load((FOLDER / "image" / "kustomization.yaml").read_text())
    (set_in_one_place,) = component["images"]
    assert f"{set_in_one_place['newName']}:{set_in_one_place['newTag']}" in images


def test_latest_is_nowhere() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert [file for file in files if re.search(r"\blatest\b", file.read_text())] == []


def test_every_selector_selects_pods(environment: str) -> None:
    selecting = [
        manifest
        for manifest in manifests(environment)
        if manifest["kind"] in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")
    ]
    assert len(selecting) >= 11
    for manifest in selecting:
        labels, name = selector(manifest), manifest["metadata"]["name"]
        assert bool(labels) == (name != "convergence-closed"), name
        assert any(labels.items() <= template.labels.items() for template in pod_templates(environment)), name


def test_a_deployment_selects_its_own_pods_alone(environment: str) -> None:
    for manifest in manifests(environment):
        if manifest["kind"] == "Deployment":
            selected = [p.name for p in pod_templates(environment) if selector(manifest).items() <= p.labels.items()]
            assert selected == [manifest["metadata"]["name"]]
            assert manifest["metadata"]["labels"]["app"] == manifest["metadata"]["name"]


def test_the_service_leads_to_the_port_of_the_api(environment: str) -> None:
    (port,) = find(environment, "Service", API)["spec"]["ports"]
    assert port["targetPort"] in {p["name"] for p in pod_template(environment, API).containers[0]["ports"]}


def test_every_process_finds_dagster_yaml_and_with_it_the_control_store(
    environment: str, template: PodTemplate
) -> None:
    ours = [container for container in template.containers if container["name"] != "init"]
    for container in ours:
        home = next(variable["value"] for variable in container["env"] if variable["name"] == "DAGSTER_HOME")
        (mount,) = [m for m in container["volumeMounts"] if m["mountPath"].startswith(home)]
        assert (mount["mountPath"], mount["subPath"]) == (f"{home}/dagster.yaml", "dagster.yaml")
        (volume,) = [volume for volume in template.spec["volumes"] if volume["name"] == mount["name"]]
        assert volume["configMap"] == {"name": "dagster-instance"}


def test_what_is_run_is_a_command_with_its_options(environment: str) -> None:
    commands = [
        container["args"]
        for manifest in manifests(environment)
        if manifest["kind"] in ("Deployment", "Job")
        for container in PodTemplate("", {}, manifest["spec"]["template"]["spec"]).containers
    ]
    assert sorted(" ".join(command[:2]) for command in commands) == [
        "convergence certify", "convergence keys", "convergence serve", "convergence watch", "dagster instance",
    ]  # fmt: skip
    for program, name, *options in commands:
        if program == "convergence":
            command: Any = COMMANDS[name].loaded(name)
            while subcommands := getattr(command, "commands", None):
                command = subcommands[options.pop(0)]
            command.make_context(name, options)


def test_all_is_in_the_namespace_of_its_environment(environment: str) -> None:
    (namespace,) = [
        manifest["metadata"]["name"] for manifest in manifests(environment) if manifest["kind"] == "Namespace"
    ]
    assert namespace == {"production": "convergence", "staging": "convergence-staging"}[environment]
    for manifest in manifests(environment):
        if manifest["kind"] not in ("Namespace", "PriorityClass"):
            assert manifest["metadata"]["namespace"] == namespace


def test_what_the_network_calls_convergence_is_no_variable_of_it(environment: str) -> None:
    """Kubernetes gives pods `<SERVICE>_PORT`; those of a service convergence-… would look like misspelled settings."""
    for template in pod_templates(environment):
        if template.labels.get("app", "").startswith("convergence"):
            assert template.spec["enableServiceLinks"] is False
