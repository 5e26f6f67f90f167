"""The values for Dagster's chart: keys that it has, a dagster.yaml that Dagster takes, and the Jobs of runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.code_pointer import CodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_k8s import K8sRunLauncher

from convergence_assets.control.tables import VERSION_TABLE
from convergence_assets.dagster_internals.instance import Instance
from convergence_assets.settings import ONLY_TENANTS
from tests.clean_environment import clean_environment
from tests.kubernetes.chart import chart_values, dagster_yaml
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.cluster_api import ClusterApi
from tests.kubernetes.manifests import FOLDER, ROOT, Object, find
from tests.kubernetes.pods import pod_template
from tests.kubernetes.schemas import VERSIONS, validate
from tests.postgres.postgres_server import Postgres

KEYS: Object = yaml.safe_load((FOLDER / "chart-keys.yaml").read_text())
POSTGRES = yaml.safe_load((ROOT / "deploy" / "dagster.postgres.yaml").read_text())
NAMESPACE = "convergence"
RUN_ID = "0c7d4f6a-3f0d-4a53-8b3f-6f1f6a2f4b11"

on_postgres = pytest.mark.xdist_group("postgres")


def used(value: Any, path: str = "") -> Iterator[str]:
    """The listed key of every value; the value's own path where the list has none."""
    passed_on = {key.removesuffix(".*") for key in KEYS["keys"] if key.endswith(".*")}
    if path in passed_on:
        yield f"{path}.*"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from used(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from used(item, f"{path}[]")
    else:
        yield path


def test_the_chart_has_every_key_that_the_values_use(environment: str) -> None:
    assert sorted(set(used(chart_values(environment)))) == KEYS["keys"]


def test_a_key_that_the_chart_lacks_is_noticed() -> None:
    wrong = chart_values("production") | {"dagsterDaemon": {"terminationGracePeriodSeconds": 60}}
    assert set(used(wrong)) - set(KEYS["keys"]) == {"dagsterDaemon.terminationGracePeriodSeconds"}


def test_the_chart_has_the_version_of_dagster_that_is_installed() -> None:
    assert re.search(rf"^dagster=={re.escape(KEYS['version'])}$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert f"version {KEYS['version']})" in (FOLDER / "values.yaml").read_text()
    guide = (ROOT / "docs" / "KUBERNETES.md").read_text()
    versions = set(re.findall(r"helm (?:upgrade|install|template).* --version (\S+)", guide))
    assert versions == {KEYS["version"]}


def test_what_the_chart_has_no_keys_for_is_as_in_a_deployment_on_postgres() -> None:
    assert chart_values("production")["additionalInstanceConfig"] == {
        name: POSTGRES[name] for name in ("nux", "instance_class", "run_coordinator", "concurrency", "retention")
    }


def test_nothing_of_a_deployment_on_postgres_is_missing() -> None:
    written = dagster_yaml(chart_values("production"), NAMESPACE)
    # Both are off where nothing is said; `storage` is three entries in the chart's file.
    assert POSTGRES.keys() - written.keys() == {"run_monitoring", "storage"}
    assert POSTGRES["run_monitoring"] == {"enabled": False}
    for name in POSTGRES.keys() & written.keys() - {"run_launcher"}:
        assert written[name] == POSTGRES[name], name


@dataclass
class Deployed:
    """A folder with the chart's dagster.yaml over a real Postgres, and the API of the cluster where runs are launched."""

    home: Path
    environ: dict[str, str]
    cluster: Cluster
    url: str


@pytest.fixture(scope="module")
def deployed(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """What is another one's of the values: where Postgres and the API are."""
    folder, cluster = tmp_path_factory.mktemp("deployed"), Cluster()
    api = ClusterApi(cluster)
    api.start()
    database = postgres.database()
    written = dagster_yaml(chart_values("production"), NAMESPACE)
    for storage in ("run_storage", "event_log_storage", "schedule_storage"):
        written[storage]["config"]["postgres_db"] |= {
            "hostname": "127.0.0.1", "port": postgres.port, "username": "postgres", "db_name": database,
        }  # fmt: skip
    written["run_launcher"]["config"] |= {
        "load_incluster_config": False, "kubeconfig_file": str(api.kubeconfig(folder / "kubeconfig")),
    }  # fmt: skip
    home = folder / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(written))
    settings = find("production", "ConfigMap", "convergence-config")["data"]
    own = {"DAGSTER_HOME": str(home), "DAGSTER_PG_PASSWORD": postgres.password, "CONVERGENCE_HOME": str(folder)}
    yield Deployed(home, clean_environment() | settings | own, cluster, postgres.url(database))
    api.stop()


@pytest.fixture(scope="module")
def instance(deployed: Deployed) -> Iterator[dg.DagsterInstance]:
    own = {"DAGSTER_PG_PASSWORD": deployed.environ["DAGSTER_PG_PASSWORD"]}
    with patch.dict(os.environ, own), dg.DagsterInstance.from_config(str(deployed.home)) as opened:
        yield opened


@on_postgres
def test_dagster_loads_what_the_chart_writes(instance: dg.DagsterInstance) -> None:
    assert type(instance) is Instance
    assert type(instance.run_launcher) is K8sRunLauncher
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    assert coordinator.dequeue_interval_seconds == 1
    runs = instance.get_concurrency_config()
    limits = POSTGRES["concurrency"]
    assert runs.run_queue_config
    assert runs.run_queue_config.max_concurrent_runs == limits["runs"]["max_concurrent_runs"]
    assert runs.run_queue_config.tag_concurrency_limits == limits["runs"]["tag_concurrency_limits"]
    assert runs.pool_config.default_pool_limit == limits["pools"]["default_limit"]
    # The sensor stuck_runs sees to it, and the planner requests days again.
    assert (instance.run_monitoring_enabled, instance.run_retries_enabled) == (False, False)
    assert instance.telemetry_enabled is False


@pytest.fixture(scope="module")
def job(instance: dg.DagsterInstance, deployed: Deployed) -> Object:
    """The Job of a run that the planner has requested, as it arrives at Kubernetes; to be read only."""
    server = chart_values("production")["dagster-user-deployments"]["deployments"][0]
    image = f"{server['image']['repository']}:{server['image']['tag']}"
    pointer = CodePointer.from_module("convergence_assets.definitions", "defs", None)
    location = RegisteredCodeLocationOrigin(server["name"])
    # With `includeConfigInLaunchedRuns` off a code server says nothing of its own containers.
    origin = RepositoryPythonOrigin("python", pointer, image, ["dagster"], container_context=None)
    only = {"name": ONLY_TENANTS, "value": "acme"}
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        run_id=RUN_ID,
        tags={"dagster-k8s/config": json.dumps({"container_config": {"env": [only]}})},
        job_code_origin=origin.get_job_origin("__ASSET_JOB"),
        remote_job_origin=RemoteRepositoryOrigin(location, "__repository__").get_job_origin("__ASSET_JOB"),
    )
    instance.add_run(run)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    (launched,) = deployed.cluster.all("Job")
    return launched


@on_postgres
def test_the_job_of_a_run_is_one_that_kubernetes_takes(job: Object) -> None:
    for version in VERSIONS:
        assert validate(job, version)


@on_postgres
def test_the_pod_of_a_run_is_the_one_that_the_values_ask_for(job: Object) -> None:
    assert job["metadata"]["namespace"] == NAMESPACE
    assert (job["spec"]["ttlSecondsAfterFinished"], job["spec"]["backoffLimit"]) == (3600, 0)
    template = job["spec"]["template"]
    spec, expected_pod = template["spec"], pod_template("production", "convergence-run")
    assert expected_pod.labels.items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    for name in (
        "priorityClassName", "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks",
        "terminationGracePeriodSeconds", "securityContext",
    ):  # fmt: skip
        assert spec[name] == expected_pod.spec[name], name
    assert spec["terminationGracePeriodSeconds"] == 120
    (container,), (expected,) = spec["containers"], expected_pod.containers
    for name in ("image", "resources", "securityContext", "volumeMounts"):
        assert container[name] == expected[name], name
    assert spec["volumes"] == expected_pod.spec["volumes"]


@on_postgres
def test_a_run_has_the_configuration_and_its_own_tenant(job: Object) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": "convergence-config"}}, {"secretRef": {"name": "convergence-config"}},
    ]  # fmt: skip
    variables = {variable["name"]: variable for variable in container["env"]}
    assert variables[ONLY_TENANTS]["value"] == "acme"
    password = variables["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert password == {"name": "convergence-postgres", "key": "postgresql-password"}
    assert variables["DAGSTER_HOME"]["value"] == "/opt/dagster/dagster_home"
    assert "execute_run" in container["args"]


@on_postgres
@pytest.mark.slow
def test_the_job_of_the_migrations_makes_the_tables_of_dagster_and_of_the_control_store(deployed: Deployed) -> None:
    for program, *arguments in (
        container["args"] for container in pod_template("production", "convergence-migrate").containers
    ):
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        done = subprocess.run(
            command, env=deployed.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
    engine = sa.create_engine(deployed.url.replace("postgresql:", "postgresql+psycopg2:", 1))
    tables = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    assert {"runs", "event_logs", "alembic_version", VERSION_TABLE} <= tables
