"""What the official Dagster chart makes of our values, as far as tests read it; the chart itself cannot be had here."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.kubernetes.manifests import FOLDER, Object, PodTemplate

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@functools.cache
def chart_values(environment: str) -> Object:
    """The chart's values: ours, and over them the environment's."""
    own = yaml.safe_load((FOLDER / "values.yaml").read_text())
    merged: Object = _merged(own, yaml.safe_load((FOLDER / "overlays" / environment / "values.yaml").read_text()))
    return merged


def _merged(value: Any, over: Any) -> Any:
    """As Helm merges values: maps by their keys, all else is replaced."""
    if not isinstance(value, Mapping) or not isinstance(over, Mapping):
        return over
    return {**value, **{key: _merged(value.get(key), item) for key, item in over.items()}}


def chart_pod_templates(values: Object) -> Iterator[PodTemplate]:
    """What the chart's templates make of the values, as far as tests ask."""
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    run = launcher["runK8sConfig"]
    yield _of_the_chart("dagster-webserver", "dagster-webserver", values["dagsterWebserver"], values)
    yield _of_the_chart("dagster-daemon", "dagster-daemon", values["dagsterDaemon"], values)
    for server in values["dagster-user-deployments"]["deployments"]:
        yield _of_the_chart(f"dagster-{server['name']}", "user-deployments", server, values)
    container = {
        "name": "dagster", "image": _image(values["dagster-user-deployments"]["deployments"][0]["image"]),
        "env": _environment(values), "envFrom": _sources(launcher), **run["containerConfig"],
    }  # fmt: skip
    labels = run["podTemplateSpecMetadata"]["labels"]
    yield PodTemplate("convergence-run", labels, {**run["podSpecConfig"], "containers": [container]})


def _of_the_chart(name: str, component: str, part: Object, values: Object) -> PodTemplate:
    container: Object = {
        "name": "dagster", "image": _image(part["image"]), "env": _environment(values), "envFrom": _sources(part),
        "ports": [{"containerPort": part.get("port") or part.get("service", {}).get("port")}],
        **{key: part[key] for key in ("resources", "securityContext", "volumeMounts")},
        **{key: part[key] for key in _PROBES if _is_on(part.get(key))},
    }  # fmt: skip
    waiting, volumes = [], part["volumes"]
    if component != "user-deployments":
        home, name_of_map = values["global"]["dagsterHome"], f"{values['global']['fullnameOverride']}-instance"
        volumes = [*volumes, {"name": "dagster-instance", "configMap": {"name": name_of_map}}]
        mount = {"name": "dagster-instance", "mountPath": f"{home}/dagster.yaml", "subPath": "dagster.yaml"}
        container["volumeMounts"] = [*part["volumeMounts"], mount]
        image = _image(values["busybox"]["image"])
        waiting.append({"name": "init", "image": image, "securityContext": part["securityContext"]})
    spec = {
        "serviceAccountName": values["global"]["serviceAccountName"], "securityContext": part["podSecurityContext"],
        "initContainers": waiting, "containers": [container], "volumes": volumes,
    }  # fmt: skip
    return PodTemplate(name, {"app.kubernetes.io/instance": "dagster", "component": component}, spec)


def _is_on(probe: Mapping[str, Any] | None) -> bool:
    return bool(probe) and (probe or {}).get("enabled") is not False


def _image(image: Mapping[str, str]) -> str:
    return f"{image['repository']}:{image['tag']}"


def _environment(values: Object) -> list[Object]:
    password = {"name": values["global"]["postgresqlSecretName"], "key": "postgresql-password"}
    return [
        {"name": "DAGSTER_HOME", "value": values["global"]["dagsterHome"]},
        {"name": "DAGSTER_PG_PASSWORD", "valueFrom": {"secretKeyRef": password}},
    ]


def _sources(part: Object) -> list[Object]:
    return [
        *({"configMapRef": source} for source in part.get("envConfigMaps", [])),
        *({"secretRef": source} for source in part.get("envSecrets", [])),
    ]


def dagster_yaml(values: Object, namespace: str) -> Object:
    """The dagster.yaml that the chart writes into the ConfigMap dagster-instance."""
    database, daemon = values["postgresql"], values["dagsterDaemon"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    storage = {
        "postgres_db": {
            "username": database["postgresqlUsername"], "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": database["postgresqlHost"], "db_name": database["postgresqlDatabase"],
            "port": database["service"]["port"], "params": {}, "scheme": database["postgresqlScheme"],
        },
    }  # fmt: skip
    names = {
        "containerConfig": "container_config", "podSpecConfig": "pod_spec_config", "jobMetadata": "job_metadata",
        "podTemplateSpecMetadata": "pod_template_spec_metadata", "jobSpecConfig": "job_spec_config",
    }  # fmt: skip
    written: Object = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "schedule_storage": {
            "module": "dagster_postgres.schedule_storage", "class": "PostgresScheduleStorage", "config": storage,
        },
        "run_storage": {"module": "dagster_postgres.run_storage", "class": "PostgresRunStorage", "config": storage},
        "event_log_storage": {
            "module": "dagster_postgres.event_log", "class": "PostgresEventLogStorage", "config": storage,
        },
        "run_launcher": {
            "module": "dagster_k8s", "class": "K8sRunLauncher",
            "config": {
                "load_incluster_config": launcher["loadInclusterConfig"],
                "job_namespace": namespace,
                "image_pull_policy": launcher["imagePullPolicy"],
                "service_account_name": values["global"]["serviceAccountName"],
                "dagster_home": values["global"]["dagsterHome"],
                "instance_config_map": f"{values['global']['fullnameOverride']}-instance",
                "postgres_password_secret": values["global"]["postgresqlSecretName"],
                "env_config_maps": [source["name"] for source in launcher["envConfigMaps"]],
                "env_secrets": [source["name"] for source in launcher["envSecrets"]],
                "run_k8s_config": {names[key]: item for key, item in launcher["runK8sConfig"].items()},
            },
        },
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager", "class": values["computeLogManager"]["type"],
        },
        **{
            name: {"use_threads": daemon[name]["useThreads"], "num_workers": daemon[name]["numWorkers"]}
            for name in ("schedules", "sensors")
        },
        "telemetry": {"enabled": values["telemetry"]["enabled"]},
    }  # fmt: skip
    # The chart appends it as text: a key twice would be a mistake that YAML readers take for the last one.
    more: Object = values["additionalInstanceConfig"]
    assert not written.keys() & more.keys()
    return written | more
