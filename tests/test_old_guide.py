"""docs/OLD_GUIDE.md: every command that it says was tried is tried here, by the real kubectl, curl and bq."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.ledger.tables import TABLES
from convergence_assets.warehouse.schema import TableRef
from tests import tools
from tests.api.service import ADMIN_KEY, furnish, serving
from tests.kubernetes.test_kubectl import Deployment
from tests.peer.peer_server import Peer

PAGE = Path(__file__).parents[1] / "docs" / "OLD_GUIDE.md"
_CODE = re.compile(r"``(.+?)``|`([^`]+)`")


def rows() -> Iterator[tuple[str, str]]:
    """What is given for each command of the former guide, and what has tried it."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0] != "the former guide" and not cells[0].startswith("---"):
            yield cells[1], cells[2]


def tried(by: str) -> list[str]:
    """The commands of a program that a row says was tried."""
    program = "curl" if by == "curl" else by
    cells = [text + row for text, row in rows() if row.partition(":")[0] == by]
    codes = [a or b for cell in cells for a, b in _CODE.findall(cell)]
    return [code for code in codes if code.startswith(f"{program} ")]


def test_each_row_says_what_has_tried_it_or_why_nothing_has() -> None:
    known = [row for _, row in rows() if re.fullmatch(r"kubectl|curl|bq(: .+)?|options|not run( here)?: .+", row)]
    assert known == [row for _, row in rows()]
    assert len(known) > 40
    for text, row in rows():
        if row == "options":
            assert "`convergence " in text, text


@pytest.mark.slow
def test_every_line_of_kubectl_works(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.start()
    deployment.apply()
    try:
        lines = tried("kubectl")
        assert len(lines) >= 9
        for line in lines:
            deployment.run(line)
    finally:
        deployment.stop()


def test_every_line_of_curl_is_answered(tmp_path: Path) -> None:
    curl = tools.program("curl", "curl")
    with serving(tmp_path) as service:
        furnish(service)
        environ = {
            "PATH": f"{Path(curl).parent}{os.pathsep}{os.environ['PATH']}", "API": service.url,
            "API_KEY": service.key("acme"), "ADMIN_KEY": ADMIN_KEY,
        }  # fmt: skip
        lines = tried("curl")
        assert len(lines) >= 7
        for line in lines:
            command = line.replace("curl ", "curl -sS --fail-with-body ", 1)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], env=environ, capture_output=True, text=True
            )
            if "/health/ready" in line:  # no daemon runs here, and it says so
                assert "daemon" in done.stdout
                continue
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert done.stdout


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(600)  # bq takes seconds to start, on a busy machine half a minute
def test_every_line_of_bq_works_on_the_ledger(peer: Peer, tmp_path: Path) -> None:
    bq = Path(tools.bq())
    with open_bigquery(peer.settings(tmp_path / "home")) as warehouse:
        for name, table in TABLES.items():
            warehouse.ensure_table(TableRef("acme", name), table.schema)
    (tmp_path / ".bigqueryrc").write_text(
        f"api = {peer.variables['BIGQUERY_EMULATOR_HOST']}\nproject_id = peer-project\n"
    )
    (tmp_path / "token").write_text("a-token")
    environ = {
        "PATH": f"{bq.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"), "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "peer-project", "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }  # fmt: skip
    lines = tried("bq")
    assert len(lines) >= 6
    for line in lines:
        line = re.sub(r"`(?=region)|(?<=us)`", r"\\`", line)  # as a shell takes it
        done = subprocess.run(
            ["bash", "-euc", line], env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
