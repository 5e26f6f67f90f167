"""Where a tenant's files may lie: refused at their line, and what leads elsewhere when it is read."""

import gzip
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from convergence_assets import outgoing
from convergence_assets.assets import files as files_module
from convergence_assets.assets.files import source_files
from convergence_assets.outgoing import HostRefused, to_public_addresses
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.file_places import fixed_part
from convergence_assets.tenancy.tenant import Step, TenantRegistry
from convergence_assets.warehouse.duckdb.reading import local
from convergence_assets.warehouse.errors import NotFound, UnreadableFile
from convergence_assets.warehouse.interface import SourceFile
from tests.certificates import certificate

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]

PIPELINE = "initech/pipelines/total_cost/pipeline.yaml"
PATH = '"{{ landing }}/licences/{date}/*.csv"'
HERE = Problem("", None, "", "")
DAY = date(2026, 10, 12)

REFUSED = [
    ("/etc/{date}", "/etc is no folder"),
    ("/{date}", "/ is no folder"),
    ("{date}.csv", ". is no folder"),
    ("landing/globex/{date}/*", "landing/globex is no folder"),
    ("{{ landing }}/../globex/{date}/*", ".. leads out"),
    ("{{ landing }}_eu/{date}/*", "initech_eu is no folder"),
    ("file:///etc/{date}", "file:// is not read"),
    ("http://169.254.169.254/{date}", "http:// is not read"),
    ("memory://x/{date}", "memory:// is not read"),
    ("gcs://bucket/x/{date}", "gcs:// is not read"),
    ("simplecache::s3://bucket/x/{date}", "one place within another"),
    ("zip://*.csv::/etc/{date}", "one place within another"),
    ("gs://bucket/{date}/*.csv", "a whole bucket, or a host, is no tenant's"),
    ("s3://bucket/*/{date}.csv", "a whole bucket, or a host, is no tenant's"),
    ("s3://bucket/initech-{date}/*.csv", "a whole bucket, or a host, is no tenant's"),
    ("abfs://container/{date}", "a whole bucket, or a host, is no tenant's"),
    ("https://bills.example/{date}.csv", "a whole bucket, or a host, is no tenant's"),
    ("https://bills.example/initech/{date}/*.csv", "a URL names one file"),
    ("https://me:s3cr3t@bills.example/initech/{date}.csv", "a name or a password in a URL"),
]


@pytest.mark.parametrize(("path", "reason"), REFUSED)
def test_a_path_that_is_not_the_tenants_is_refused_at_its_line(load: Load, edit: Edit, path: str, reason: str) -> None:
    line = edit(PIPELINE, PATH, f'"{path}"')
    (problem,) = load().rejected["initech"].problems
    assert (problem.file.endswith(PIPELINE), problem.line, problem.key) == (True, line, "steps[0].path")
    assert reason in problem.message


ALLOWED = [
    "{{ landing }}/{date}.csv", "gs://bucket/initech/{date}/*.csv", "s3://bucket/a/b-{date}.csv",
    "abfs://container@account.dfs.core.windows.net/initech/{date}", "https://bills.example/initech/{date}.csv?sig=x",
]  # fmt: skip


@pytest.mark.parametrize("path", ALLOWED)
def test_a_path_of_the_tenants_own_is_taken(load: Load, edit: Edit, path: str) -> None:
    edit(PIPELINE, PATH, f'"{path}"')
    registry = load()
    assert "initech" in registry.tenants, [p.render() for p in registry.problems]


def test_the_landing_zone_is_beside_the_tenants_whatever_the_working_folder(
    load: Load, tenants: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tenants.parent)
    edit(PIPELINE, PATH, '"landing/initech/licences/{date}/*.csv"')
    assert "initech" in load().tenants
    step = step_of(load())
    assert step.folder == str(tenants.parent / "landing" / "initech")


@pytest.mark.parametrize(
    ("grant", "path"),
    [("/data/licences", "/data/licences/{date}/*"), ("/data", "/data/licences/{date}/*"), ("s3://b", "s3://b/{date}"),
     ("https://h/", "https://h/{date}")],
)  # fmt: skip
def test_a_folder_that_the_operator_gives_is_allowed_with_all_below_and_nothing_beside(
    load: Load, tenants: Path, edit: Edit, grant: str, path: str
) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write(f"access: {{initech: {{files: [{grant}]}}}}\n")
    edit(PIPELINE, PATH, f'"{path}"')
    assert "initech" in load().tenants
    beside = grant.rstrip("/") + "_eu"
    edit(PIPELINE, path, f"{beside}/{{date}}")
    assert "initech" in load().rejected


def test_the_refusal_shows_the_line_that_would_allow_the_folder(load: Load, edit: Edit) -> None:
    edit(PIPELINE, PATH, '"/data/licences/{date}/*.csv"')
    (problem,) = load().rejected["initech"].problems
    assert problem.render().endswith(
        "or the operator's line in _defaults.yaml: access: {initech: {files: [/data/licences]}}"
    )
    assert problem.grant == {"access": {"initech": {"files": ["/data/licences"]}}}


@pytest.mark.parametrize(
    ("pattern", "part"),
    [("/a/b/{date}/*.csv", "/a/b"), ("/a/b-{date}/c/d", "/a"), ("a/[b]/{date}", "a"), ("/{date}", "/"), ("{date}", ""),
     ("s3://b/{date}", "s3://b"), ("s3://b/a?c/{date}", "s3://b")],
)  # fmt: skip
def test_the_fixed_part_of_a_pattern_is_its_whole_segments_before_the_first_that_varies(
    pattern: str, part: str
) -> None:
    assert fixed_part(pattern) == part


def step_of(registry: TenantRegistry) -> Step:
    (pipeline,) = (p for p in registry.tenants["initech"].pipelines if p.name == "total_cost")
    return pipeline.steps[0]


@pytest.fixture
def step(load: Load, tenants: Path) -> Step:
    """The step of the licences, and a folder for its files of one day."""
    found = step_of(load())
    (tenants.parent / "landing" / "initech" / "licences" / str(DAY)).mkdir(parents=True)
    return found


@pytest.fixture
def folder(tenants: Path) -> Path:
    return tenants.parent / "landing" / "initech" / "licences" / str(DAY)


def read(step: Step, hosts: tuple[str, ...] = ()) -> dict[str, bytes]:
    with source_files(step, [DAY], hosts) as found:
        return {file.name: Path(file.path).read_bytes() for file in found}


def test_a_file_of_the_folder_is_read(step: Step, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    assert read(step) == {str(folder / "a.csv"): b"x"}


def test_a_link_that_leads_out_is_refused_and_one_within_is_followed(step: Step, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "landing" / "globex").mkdir()
    (tmp_path / "landing" / "globex" / "secret.csv").write_text("y")
    (folder / "a.csv").symlink_to(tmp_path / "landing" / "globex" / "secret.csv")
    with pytest.raises(UnreadableFile, match=r"a\.csv: leads out of .*landing/initech"):
        read(step)
    (folder / "a.csv").unlink()
    (folder.parent / "kept.txt").write_text("z")
    (folder / "a.csv").symlink_to("../kept.txt")
    assert list(read(step).values()) == [b"z"]


def test_a_folder_that_is_a_link_out_is_refused(step: Step, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text("y")
    folder.rmdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(UnreadableFile, match="leads out of"):
        read(step)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_regular_file_is_refused_at_once(step: Step, folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "a.csv")
    with pytest.raises(UnreadableFile, match="is no regular file"):
        read(step)


def test_too_many_and_too_large_files_are_refused(step: Step, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_FILES_A_DAY", 2)
    for name in "abc":
        (folder / f"{name}.csv").touch()
    with pytest.raises(UnreadableFile, match="3 of them; expected at most 2 a day"):
        read(step)
    (folder / "b.csv").unlink()
    with (folder / "a.csv").open("wb") as sparse:
        sparse.truncate(21 * 10**9)
    with pytest.raises(UnreadableFile, match=r"a\.csv: has 21\.0 GB; expected at most 20 GB"):
        read(step)


class Desk:
    """An HTTPS server on loopback with one file, a link to it, and a redirect."""

    def __init__(self, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == f"/initech/{DAY}.csv":
                    self.send_response(200)
                    self.send_header("Content-Length", "1")
                    self.end_headers()
                    self.wfile.write(b"x")
                    return
                self.send_response(302 if "moved" in self.path else 404)
                self.send_header("Location", f"/initech/{DAY}.csv")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *line: object) -> None:
                pass

        self.certificate = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"https://localhost:{self._server.server_port}/{path}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    found = Desk(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.certificate))
    yield found
    found.stop()


def test_a_url_is_fetched_where_its_host_is_allowed_and_a_day_without_a_file_has_none(step: Step, desk: Desk) -> None:
    fetched = replace(step, path=desk.url("initech/{date}.csv"), folder=None)
    assert read(fetched, ("localhost",)) == {desk.url(f"initech/{DAY}.csv"): b"x"}
    assert read(replace(fetched, path=desk.url("nothing/{date}.csv")), ("localhost",)) == {}


def test_a_url_that_leads_elsewhere_is_not_followed(step: Step, desk: Desk) -> None:
    moved = replace(step, path=desk.url("moved/{date}.csv?sig=s3cr3t"), folder=None)
    with pytest.raises(NotFound, match="HTTP 302, which is not followed to another address") as refused:
        read(moved, ("localhost",))
    assert "s3cr3t" not in str(refused.value)


INWARDS = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "169.254.169.254", "10.1.2.3", "[::ffff:10.0.0.1]",
           "[64:ff9b::a00:1]", "[64:ff9b:1::7f00:1]", "[fec0::1]", "[::7f00:1]", "[2002:a00:1::]", "2130706433", "0x7f.1"]  # fmt: skip


@pytest.mark.parametrize("host", INWARDS)
def test_a_url_that_leads_inwards_is_not_fetched(step: Step, host: str) -> None:
    inward = replace(step, path=f"https://{host}:9/initech/{{date}}.csv", folder=None)
    with pytest.raises(NotFound, match="which is not public"):
        read(inward)


def test_names_are_resolved_once_so_that_no_second_answer_leads_inwards(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"])

    def resolve(host: str, port: int, *rest: object, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(outgoing, "_resolve", resolve)
    with to_public_addresses("bills.example"):
        found = [socket.getaddrinfo("bills.example", 443)[0][4][0] for _ in range(3)]
        with pytest.raises(HostRefused, match=r"other\.example is not the host"):
            socket.getaddrinfo("other.example", 443)
    assert found == ["93.184.215.14"] * 3


def test_what_unpacks_to_more_than_a_disk_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_MOST_UNPACKED_GIGABYTES", 0.01)
    bomb = tmp_path / "a.csv.gz"
    bomb.write_bytes(gzip.compress(b"a" * 20_000_000))
    with (
        pytest.raises(UnreadableFile, match=r"a\.csv\.gz: unpacks to more than 0\.01 GB"),
        local.plain(SourceFile(str(bomb), "csv"), tmp_path),
    ):
        pass
