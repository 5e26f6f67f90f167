"""What people do to a deployment with gcloud: the lines of docs/CLOUD_RUN.md, and what each of them brings about."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools
from tests.cloud_run.gcloud_api import MISSING_IMAGE, GcloudApi
from tests.cloud_run.manifests import ROOT, container, manifests
from tests.cloud_run.terminal import Terminal

pytestmark = pytest.mark.live  # each line is a process of a second
API = "convergence-data-pipeline"
GUIDE = ROOT / "docs" / "CLOUD_RUN.md"
NOT_RUN = ("gcloud run services proxy ",)
NOT_ANSWERED = ("gcloud beta run worker-pools update ",)
"""Lines that gcloud sends by gRPC over TLS, which the API here does not answer."""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    tools.gcloud()
    api = GcloudApi()
    api.start()
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    yield Terminal(tmp_path, api)
    api.stop()


def documented() -> list[str]:
    """The lines of the guide that are to be typed, in their order."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_every_line_of_the_guide_works_in_its_order(terminal: Terminal) -> None:
    lines = documented()
    assert len(lines) > 25
    api = terminal.api
    for line in lines:
        if line.startswith(NOT_RUN):
            continue
        if line.startswith(NOT_ANSWERED):
            without = terminal.tried(line, CLOUDSDK_CORE_PROJECT="")
            assert "The project property is set to the empty string" in without.stdout  # it took the arguments
            continue
        assert line.startswith(("gcloud ", "python deploy/cloud-run/render.py ")), line
        terminal.run(line, EXECUTION="convergence-run-abcde", REVISION=f"{API}-00001")
        if "update-env-vars=CONVERGENCE_API" in line:
            variables = {variable["name"] for variable in container(api.get("services", API))["env"]}
            assert {"CONVERGENCE_API_PER_MINUTE", "GCP_PROJECT_ID"} <= variables
    named = {(plural, name) for plural, name in api.objects if plural not in ("revisions", "executions")}
    plurals = {"Service": "services", "WorkerPool": "workerpools", "Job": "jobs"}
    assert named == {(plurals[m["kind"]], m["metadata"]["name"]) for m in manifests().values()}
    assert api.serving(API)["metadata"]["name"] == f"{API}-00001"
    assert any('execution_name"=convergence-run-abcde' in filters for filters in api.logs)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ('gcloud logging read "severity>=ERROR" --after="2024-01-01T00:00:00Z"', "unrecognized arguments: --after="),
        ('gcloud logging read "severity>=ERROR" --before="2024-01-01T00:00:00Z"', "unrecognized arguments: --before="),
        ("gcloud alpha billing quotas update", "Invalid choice: 'quotas'"),
        ("gcloud firestore collections get pipeline_locks", "Invalid choice: 'collections'"),
    ],
)
def test_what_the_former_guide_has_wrong_is_refused_by_gcloud(terminal: Terminal, line: str, refusal: str) -> None:
    done = terminal.tried(line)
    assert done.returncode == 2
    assert refusal in done.stdout


def test_the_guide_says_which_of_its_lines_were_not_run() -> None:
    table = re.findall(r"^\| `(gcloud [a-z -]+)` \| not tested: ", GUIDE.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(words.strip() for words in (*NOT_RUN, *NOT_ANSWERED))
    assert all(any(line.startswith(words) for line in documented()) for words in (*NOT_RUN, *NOT_ANSWERED))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("api", "run services replace"), ("webserver", "run services replace"), ("tenants", "run services replace"),
        ("daemon", "beta run worker-pools replace"), ("watch", "beta run worker-pools replace"),
        ("run", "run jobs replace"), ("migrate", "run jobs replace"),
    ],
)  # fmt: skip
def test_gcloud_refuses_a_key_that_a_manifest_does_not_have(terminal: Terminal, name: str, command: str) -> None:
    file = terminal.written(name, **{"image: ": "imagee: "})
    refused = terminal.tried(f"gcloud {command} {file}")
    assert refused.returncode != 0
    assert "imagee" in refused.stdout


def test_a_revision_that_does_not_become_ready_gets_no_requests_and_the_command_fails(terminal: Terminal) -> None:
    terminal.run(f"gcloud run services replace {terminal.written('api')}")
    image = container(manifests()["api"])["image"]
    failed = terminal.tried(f"gcloud run services replace {terminal.written('api', **{image: MISSING_IMAGE})}")
    assert failed.returncode != 0
    assert "Image not found" in failed.stdout
    assert container({"spec": {"template": terminal.api.serving(API)}})["image"] == image
