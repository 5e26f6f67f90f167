"""A tenant's folder may hold anything: what is no bounded, regular file of its own refuses that tenant alone."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import fsspec
import pytest

from convergence_assets.tenancy.local_files import LARGEST_FILE, MOST_ENTRIES, MOST_FILES
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)


def load(tenants: Path) -> TenantRegistry:
    return load_registry(str(tenants), None, today=TODAY)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipelines.yaml")


def link_to_another_tenant(folder: Path) -> None:
    (folder / "stolen.yaml").symlink_to(folder.parent / "globex" / "tenant.yaml")


def link_to_a_device(folder: Path) -> None:
    (folder / "endless.sql").symlink_to("/dev/zero")


def link_to_the_machine(folder: Path) -> None:
    (folder / "passwd.json").symlink_to("/etc/passwd")


def linked_folder(folder: Path) -> None:
    (folder / "pipelines").symlink_to("/etc")


def link_to_nothing(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to(folder / "nowhere.yaml")


def large_file(folder: Path) -> None:
    (folder / "large.sql").write_bytes(b"-" * (LARGEST_FILE + 1))


def large_folder(folder: Path) -> None:
    for n in range(4):
        (folder / f"large{n}.sql").write_bytes(b"-" * 300_000)


def many_files(folder: Path) -> None:
    for n in range(MOST_FILES + 1):
        (folder / f"file{n}.json").write_text("{}")


def many_entries(folder: Path) -> None:
    for n in range(MOST_ENTRIES + 1):
        (folder / f"note{n}.txt").touch()


def deep_folder(folder: Path) -> None:
    below = folder.joinpath(*["d"] * 12)
    below.mkdir(parents=True)
    (below / "deep.yaml").write_text("a: 1\n")


def folder_of_itself(folder: Path) -> None:
    (folder / "again").symlink_to(folder)


def strange_name(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.yaml")).write_text("a: 1\n")


def name_with_a_line_end(folder: Path) -> None:
    (folder / "a\nb.sql").write_text("SELECT 1\n")


HOSTILE: list[tuple[Callable[[Path], None], str, str]] = [
    (pipe, "acme/pipelines.yaml", "no regular file"),
    (link_to_another_tenant, "acme/stolen.yaml", "a link that leads out of the tenant's folder"),
    (link_to_a_device, "acme/endless.sql", "a link that leads out of the tenant's folder"),
    (link_to_the_machine, "acme/passwd.json", "a link that leads out of the tenant's folder"),
    (linked_folder, "acme/pipelines", "a link that leads out of the tenant's folder"),
    (link_to_nothing, "acme/gone.yaml", "No such file"),
    (large_file, "acme/large.sql", "more than 1000 kB"),
    (large_folder, "acme/large2.sql", "the folder's files have more than 800 kB"),
    (many_files, "acme/file", "more than 500 files"),
    (many_entries, "acme", "more than 5000 files and folders"),
    (deep_folder, "acme/d/d", "more than 8 levels deep"),
    (folder_of_itself, "acme/again", "more than 8 levels deep"),
    (strange_name, "acme/caf\\xe9.yaml", "not UTF-8"),
    (name_with_a_line_end, "acme/a\\x0ab.sql", "control characters"),
]


@pytest.mark.parametrize(("spoil", "file", "why"), HOSTILE, ids=[spoil.__name__ for spoil, *_ in HOSTILE])
def test_a_folder_that_is_not_plain_refuses_its_tenant_alone(
    tmp_path: Path, spoil: Callable[[Path], None], file: str, why: str
) -> None:
    tenants = Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))
    spoil(tenants / "acme")
    began = time.process_time()
    registry = load(tenants)
    assert time.process_time() - began < 10
    assert set(registry.tenants) == {"globex", "initech"}
    problem = next(p for p in registry.rejected["acme"].problems if why in p.message)
    assert problem.file.startswith(f"{tenants}/{file}"), problem
    assert "fault of Convergence" not in problem.message
    problem.render().encode()


def test_a_folder_whose_own_name_is_not_utf8_is_refused_and_named(tmp_path: Path) -> None:
    tenants = Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))
    shutil.copytree(tenants / "globex", tenants / os.fsdecode(b"caf\xe9"))
    registry = load(tenants)
    assert {"acme", "globex", "initech"} == set(registry.tenants)
    (problem,) = registry.problems
    assert "not UTF-8" in problem.message
    problem.render().encode()


def test_what_nobody_reads_may_be_there(tmp_path: Path) -> None:
    tenants = Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))
    os.mkfifo(tenants / "acme" / "notes.txt")
    (tenants / "acme" / os.fsdecode(b"caf\xe9.txt")).write_text("")
    (tenants / "acme" / "README.md").write_bytes(b"x" * 3_000_000)
    (tenants / "acme" / ".hidden.yaml").symlink_to("/etc/passwd")
    assert not load(tenants).problems


def test_a_mounted_volume_keeps_its_files_behind_links(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as `..data`, a link to a hidden folder, and a link for each file and folder."""
    tenants = tmp_path / "tenants"
    version = tenants / "..2026_11_28"
    shutil.copytree(ROOT / "tenants", version)
    (tenants / "..data").symlink_to("..2026_11_28")
    for name in ("acme", "globex", "initech", "_defaults.yaml"):
        (tenants / name).symlink_to(f"..data/{name}")
    registry = load(tenants)
    assert not registry.problems
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    own = tmp_path / "own"
    shutil.copytree(ROOT / "tenants", own)
    hidden = own / "initech" / "..2026_11_28"
    shutil.copytree(ROOT / "tenants" / "initech", hidden)
    for name in ("pipelines", "tenant.yaml"):
        path = own / "initech" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(f"..2026_11_28/{name}")
    assert not load(own).problems


def test_a_tenants_folder_may_be_a_link_that_the_operator_made(tmp_path: Path) -> None:
    tenants = Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))
    shutil.move(tenants / "initech", tmp_path / "elsewhere")
    (tenants / "initech").symlink_to(tmp_path / "elsewhere")
    assert not load(tenants).problems


def test_behind_a_url_the_same_bounds_hold() -> None:
    files = fsspec.filesystem("memory")
    for path in (ROOT / "tenants").rglob("*"):
        if path.is_file():
            files.pipe(f"/hostile/{path.relative_to(ROOT / 'tenants').as_posix()}", path.read_bytes())
    files.pipe("/hostile/acme/large.sql", b"-" * (LARGEST_FILE + 1))
    for n in range(MOST_FILES + 1):
        files.pipe(f"/hostile/globex/file{n}.json", b"{}")
    registry = load_registry("memory://hostile", None, today=TODAY)
    assert set(registry.tenants) == {"initech"}
    assert any("more than 1000 kB" in problem.message for problem in registry.rejected["acme"].problems)
    assert any("more than 500 files" in problem.message for problem in registry.rejected["globex"].problems)
