"""deploy/cloud-run/deploy.sh, which the workflow `deploy` runs: it applies a release, and takes it back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools
from tests.cloud_run.gcloud_api import MISSING_IMAGE, PROJECT, GcloudApi
from tests.cloud_run.manifests import FOLDER, container, manifests
from tests.cloud_run.terminal import Terminal

pytestmark = pytest.mark.live
SCRIPT = "deploy/cloud-run/deploy.sh"
PLURALS = {"Service": "services", "WorkerPool": "workerpools", "Job": "jobs"}
NEXT_IMAGE = "registry.example/convergence:0.2.0"
IMAGE = container(manifests()["api"])["image"]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    tools.gcloud()
    api = GcloudApi()
    api.start()
    shutil.copytree(FOLDER, tmp_path / "deploy" / "cloud-run")
    yield Terminal(tmp_path, api)
    api.stop()


def images(api: GcloudApi) -> dict[str, str]:
    """What is in use of each process but the migrations."""
    found = {}
    for manifest in manifests().values():
        name = manifest["metadata"]["name"]
        stored = api.objects.get((PLURALS[manifest["kind"]], name))
        if stored and name != "convergence-migrate":
            in_use = {"spec": {"template": api.serving(name)}} if manifest["kind"] == "Service" else stored
            found[name] = container(in_use)["image"]
    return found


def test_a_release_that_does_not_become_ready_is_undone_and_there_are_never_two_daemons(terminal: Terminal) -> None:
    api = terminal.api
    for name, manifest in manifests().items():
        if name != "webserver":
            api.answer("POST", f"/namespaces/{PROJECT}/{PLURALS[manifest['kind']]}", manifest)
    former = images(api)
    assert terminal.run(f"{SCRIPT} save former") == "convergence-webserver is new\n"

    folder = terminal.folder / "deploy" / "cloud-run"
    environment, template = folder / "environments" / "production.yaml", folder / "templates" / "api.yaml"
    environment.write_text(environment.read_text().replace(IMAGE, NEXT_IMAGE))
    template.write_text(template.read_text().replace("${image}", MISSING_IMAGE))
    failed = terminal.tried(f"{SCRIPT} apply former production")
    assert failed.returncode != 0
    assert "Image not found" in failed.stdout
    assert ("executions", "convergence-migrate-abcde") in api.objects
    assert images(api) == {name: IMAGE if name == "convergence-data-pipeline" else NEXT_IMAGE for name in former}

    terminal.run(f"{SCRIPT} undo former")
    assert images(api) == former
    assert api.daemons == ["1", "0", "1", "0", "1"]
