"""The manifests of Cloud Run: how they fit one another, the image and the code."""

import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from convergence_assets.api import server
from convergence_assets.dagster_internals.code_locations import code_locations
from convergence_assets.environment_variables import VARIABLES
from convergence_assets.monitoring.stuck import LONGEST_RANGE
from convergence_assets.run_launcher.cloud_run import CloudRunLauncher
from convergence_assets.settings import Settings
from tests.cloud_run.manifests import FOLDER, ROOT, Object, container, manifests, task

NAMES = {
    "api": "convergence-data-pipeline", "webserver": "convergence-webserver", "tenants": "convergence-tenants",
    "daemon": "convergence-daemon", "watch": "convergence-watch", "run": "convergence-run",
    "migrate": "convergence-migrate",
}  # fmt: skip
DAGSTER_YAML: Object = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
GUIDE = (ROOT / "docs" / "CLOUD_RUN.md").read_text()


def template_annotations(name: str) -> dict[str, str]:
    found: dict[str, str] = manifests()[name]["spec"]["template"]["metadata"]["annotations"]
    return found


def variables(name: str) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in container(manifests()[name])["env"]}


def test_the_guide_lists_every_service_worker_pool_and_job() -> None:
    assert {name: manifest["metadata"]["name"] for name, manifest in manifests().items()} == NAMES
    kinds = {"Service": "service", "WorkerPool": "worker pool", "Job": "job"}
    for manifest in manifests().values():
        assert f"| `{manifest['metadata']['name']}` | {kinds[manifest['kind']]}" in GUIDE


def test_dagster_is_set_up_as_on_one_machine_but_for_what_runs_need() -> None:
    other = yaml.safe_load((ROOT / "deploy" / "dagster.postgres.yaml").read_text())
    different = {name for name in DAGSTER_YAML.keys() | other.keys() if DAGSTER_YAML.get(name) != other.get(name)}
    assert different == {"run_launcher"}


def test_dagster_takes_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({k: v for k, v in DAGSTER_YAML.items() if k != "storage"}))
    for name, value in variables("daemon").items():
        if name.startswith("CLOUD_RUN_"):
            monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher) is CloudRunLauncher
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    minutes = queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay / 60
    assert minutes == 10
    assert "every 30 seconds, for ten minutes" in GUIDE


def test_the_launcher_executes_the_job_that_is_deployed_and_its_variables_are_set() -> None:
    config = DAGSTER_YAML["run_launcher"]["config"]
    assert CloudRunLauncher.config_type()["job"].default_value == NAMES["run"]
    assert config.keys() < CloudRunLauncher.config_type().keys()
    workspace = yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    needed = {config[name]["env"] for name in ("project", "region")} | {workspace["host"]["env"]}
    needed |= {value["env"] for value in DAGSTER_YAML["storage"]["postgres"]["postgres_db"].values() if "env" in value}
    for name in NAMES:
        assert needed <= variables(name).keys(), name


def test_every_process_finds_what_is_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    (copied,) = re.findall(r"^COPY deploy/cloud-run/dagster.yaml deploy/cloud-run/workspace.yaml (\S+)/$",
                           (ROOT / "Containerfile").read_text(), re.MULTILINE)  # fmt: skip
    for name in NAMES:
        assert variables(name)["DAGSTER_HOME"] == copied
        assert variables(name)["CONVERGENCE_WORKSPACE"] == f"{copied}/workspace.yaml"
    for name in ("webserver", "daemon"):
        assert f"{copied}/workspace.yaml" in container(manifests()[name])["args"]
    monkeypatch.setenv("CODE_SERVER_HOST", "tenants.example")
    (location,) = code_locations(FOLDER / "workspace.yaml")
    assert (location.host, location.port, location.ssl) == ("tenants.example", 443, True)


def test_every_variable_is_one_that_the_settings_know() -> None:
    known = {variable.name for variable in VARIABLES}
    for name in NAMES:
        ours = {variable for variable in variables(name) if variable.startswith("CONVERGENCE_")}
        assert ours <= known, ours - known


def test_secrets_are_never_in_a_manifest_and_runs_have_those_of_no_other_process() -> None:
    secret = {name: {v for v, value in variables(name).items() if value is None} for name in NAMES}
    assert secret["run"] == {"DAGSTER_PG_PASSWORD"}
    assert secret["api"] == {"DAGSTER_PG_PASSWORD", "CONVERGENCE_ADMIN_KEY", "CONVERGENCE_METRICS_TOKEN"}
    for variable in container(manifests()["api"])["env"]:
        assert variable.keys() in ({"name", "value"}, {"name", "valueFrom"})


def test_all_processes_are_of_one_image_that_is_no_moving_tag() -> None:
    images = {container(manifest)["image"] for manifest in manifests().values()}
    assert len(images) == 1
    assert not any(image.endswith(":latest") or ":" not in image for image in images)


def test_a_run_is_executed_once_and_has_longer_than_it_may_take() -> None:
    job = task(manifests()["run"])
    assert job["maxRetries"] == 0
    assert job["timeoutSeconds"] > LONGEST_RANGE.total_seconds()
    assert job["serviceAccountName"].startswith("convergence-run@")
    assert {m["spec"]["template"]["spec"].get("serviceAccountName", "convergence@").partition("@")[0]
            for name, m in manifests().items() if m["kind"] != "Job"} == {"convergence"}  # fmt: skip


def test_there_is_one_daemon_one_watchdog_and_one_code_server() -> None:
    for name in ("daemon", "watch"):
        assert manifests()[name]["metadata"]["annotations"]["run.googleapis.com/manualInstanceCount"] == "1"
    scale = template_annotations("tenants")
    assert (scale["autoscaling.knative.dev/minScale"], scale["autoscaling.knative.dev/maxScale"]) == ("1", "1")


def test_who_works_without_requests_has_its_processor_all_the_time() -> None:
    for name in ("api", "tenants"):
        assert template_annotations(name)["run.googleapis.com/cpu-throttling"] == "false"


def test_only_the_api_and_the_code_server_are_open_to_those_who_reach_them() -> None:
    annotations = {n: m["metadata"].get("annotations", {}) for n, m in manifests().items() if m["kind"] == "Service"}
    assert {n for n, found in annotations.items() if found.get("run.googleapis.com/invoker-iam-disabled")} == {
        "api",
        "tenants",
    }
    assert annotations["tenants"]["run.googleapis.com/ingress"] == "internal"
    # Internal services are reached through the network alone.
    for name in ("api", "webserver", "daemon", "watch"):
        assert template_annotations(name)["run.googleapis.com/vpc-access-egress"] == "all-traffic"
    for name in NAMES:
        (interface,) = json.loads(template_annotations(name)["run.googleapis.com/network-interfaces"])
        assert interface.keys() == {"network", "subnetwork"}


def test_services_are_probed_where_they_listen() -> None:
    assert Settings.from_env({}).api_port == container(manifests()["api"])["ports"][0]["containerPort"]
    for name in ("api", "webserver", "tenants"):
        process = container(manifests()[name])
        (port,) = process["ports"]
        probe = process["startupProbe"]
        assert probe.get("httpGet", probe.get("grpc"))["port"] == port["containerPort"]
        if name != "api":
            assert str(port["containerPort"]) in process["args"]
    assert container(manifests()["tenants"])["ports"][0]["name"] == "h2c"


def test_the_guide_says_how_long_the_api_takes_to_end() -> None:
    assert server.DRAIN_SECONDS + server.SETTLING_SECONDS == 2
    assert "ten seconds to end on Cloud Run. The API needs two for requests that are short" in " ".join(GUIDE.split())
