"""The pods of a deployment on Kubernetes: of our manifests, of the chart, and of runs."""

from collections.abc import Iterator

import yaml

from tests.kubernetes.chart import chart_pod_templates, chart_values
from tests.kubernetes.manifests import FOLDER, Object, PodTemplate, find, manifests

POD_TEMPLATES = (
    "convergence-data-pipeline", "convergence-watch", "convergence-migrate", "convergence-certify", "dagster-webserver",
    "dagster-daemon", "dagster-tenants", "convergence-run",
)  # fmt: skip
API = "convergence-data-pipeline"


def pod_template(environment: str, name: str) -> PodTemplate:
    return next(template for template in pod_templates(environment) if template.name == name)


def pod_templates(environment: str) -> Iterator[PodTemplate]:
    """Those of `POD_TEMPLATES`, by these names."""
    for manifest in manifests(environment):
        if manifest["kind"] in ("Deployment", "Job"):
            template = manifest["spec"]["template"]
            yield PodTemplate(manifest["metadata"]["name"], template["metadata"]["labels"], template["spec"])
    yield from chart_pod_templates(chart_values(environment))


def secrets() -> list[Object]:
    """The example of every Secret; no kustomization has it."""
    return list(yaml.safe_load_all((FOLDER / "secrets.example.yaml").read_text()))


def secret_keys() -> dict[str, set[str]]:
    """Of every Secret by its name."""
    return {secret["metadata"]["name"]: set(secret["stringData"]) for secret in secrets()}


def variables(environment: str, container: Object) -> dict[str, str]:
    """What the container's process reads, each secret with a value that is none."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            values |= find(environment, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            values |= {key: f"the value of {key}" for key in secret_keys()[source["secretRef"]["name"]]}
    return values | {variable["name"]: variable.get("value", "secret") for variable in container.get("env", [])}


def selector(manifest: Object) -> dict[str, str]:
    """The labels that it selects pods by."""
    spec = manifest["spec"]
    labels = spec.get("selector", spec.get("podSelector"))
    return dict(labels if manifest["kind"] == "Service" else labels.get("matchLabels", {}))
