"""The analyzer's compiled file: damaged, not ours, nowhere to write it, and no wheel to make it of."""

import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from convergence_assets.warehouse.googlesql import client, module
from convergence_assets.warehouse.googlesql.module import AnalyzerMissing
from tests.warehouse.googlesql.oracle import evaluated

NAME = module._file_name(module.wasm_file())
ONE = '(module (func (export "one") (result i32) i32.const 1))'


@pytest.fixture
def compiled() -> Path:
    """The compiled file of this machine."""
    module.loaded(module.engine())
    return next(module._trusted(NAME, module.folders()))


@pytest.fixture
def folders(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Two folders to look for the file in, both empty; nothing is compiled but by a test that says so."""
    places = tmp_path / "prefix" / "share" / "convergence", tmp_path / "cache" / "convergence"
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert module.folders() == places
    for place in places:
        place.mkdir(parents=True)
    yield places
    for place in tmp_path.rglob("*"):
        if place.is_dir():
            place.chmod(0o755)


@pytest.fixture
def compilations(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files written in place of compiling, in order."""
    content, made = compiled.read_bytes(), []

    class Copied:
        def __init__(self) -> None:
            made.append(compiled)

        def serialize(self) -> bytearray:
            return bytearray(content)

    monkeypatch.setattr(wasmtime.Module, "from_file", lambda engine, path: Copied())
    monkeypatch.setattr(module, "_compile_elsewhere", lambda: module.compile_once(module.folders()))
    return made


def test_the_file_is_read_from_the_first_folder_that_has_it(
    folders: tuple[Path, Path], compiled: Path, compilations: list[Path]
) -> None:
    shutil.copy(compiled, folders[1] / NAME)
    assert module.loaded(module.engine()) is not None
    assert not compilations
    assert not (folders[0] / NAME).exists()


def test_where_no_folder_has_it_it_is_compiled_once(
    folders: tuple[Path, Path], compilations: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert module.loaded(module.engine()) is not None
    assert len(compilations) == 1
    assert (folders[0] / NAME).stat().st_mode & 0o777 == 0o644
    assert [r.message for r in caplog.records if "once on this machine" in r.message][1:] == []
    assert not [file for file in folders[0].iterdir() if file.name not in (NAME, f"{NAME}.lock")]


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_a_damaged_file_is_compiled_anew(
    damage: str, folders: tuple[Path, Path], compiled: Path, compilations: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    content = compiled.read_bytes()
    (folders[0] / NAME).write_bytes({"empty": b"", "cut": content[: len(content) // 2], "other": b"\0" * 4096}[damage])
    with caplog.at_level(logging.WARNING):
        assert module.loaded(module.engine()) is not None
    assert len(compilations) == 1
    assert "does not load and is compiled anew" in caplog.text
    assert (folders[0] / NAME).stat().st_size == len(content)


def test_a_file_that_others_can_write_is_not_read(
    folders: tuple[Path, Path], compiled: Path, compilations: list[Path]
) -> None:
    shutil.copy(compiled, folders[0] / NAME)
    (folders[0] / NAME).chmod(0o666)
    assert list(module._trusted(NAME, module.folders())) == []
    assert module.loaded(module.engine()) is not None
    assert len(compilations) == 1
    assert (folders[0] / NAME).stat().st_mode & 0o022 == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_leaves_it_to_the_next(
    folders: tuple[Path, Path], compilations: list[Path]
) -> None:
    folders[0].chmod(0o555)
    assert module.compile_once(module.folders()) == folders[1] / NAME
    assert len(compilations) == 1


def test_a_file_in_a_folders_place_leaves_it_to_the_next(folders: tuple[Path, Path], compilations: list[Path]) -> None:
    folders[0].rmdir()
    folders[0].write_text("not a folder")
    assert module.compile_once(module.folders()) == folders[1] / NAME
    assert module.loaded(module.engine()) is not None
    assert len(compilations) == 1


def test_nowhere_to_write_is_said_with_the_folders(folders: tuple[Path, Path], compilations: list[Path]) -> None:
    for folder in folders:
        folder.rmdir()
        folder.write_text("not a folder")
    with pytest.raises(AnalyzerMissing, match="can be written") as caught:
        module.loaded(module.engine())
    assert all(str(folder) in str(caught.value) for folder in folders)
    assert not compilations


def test_a_full_disk_leaves_nothing_behind(
    folders: tuple[Path, Path], compilations: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, *_: object) -> object:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(AnalyzerMissing, match="can be written"):
        module.compile_once(module.folders())
    assert not [file for folder in folders for file in folder.iterdir() if not file.name.endswith(".lock")]


@pytest.mark.parametrize("package", ["zetasql", "wasmtime"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else found(name, *a))
    with pytest.raises(AnalyzerMissing, match=f"{package} not installed; `pip install convergence-assets`"):
        module.wasm_file()


def test_a_compiler_that_fails_or_hangs_is_said(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AnalyzerMissing, match="cannot be compiled here: it ended with 1"):
        module.loaded(module.engine())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(AnalyzerMissing, match=r"cannot be compiled here: .*No such file"):
        module.loaded(module.engine())
    monkeypatch.setattr(module, "COMPILE_WITHIN_SECONDS", 0.01)
    monkeypatch.setattr(sys, "executable", shutil.which("yes"))
    with pytest.raises(AnalyzerMissing, match="cannot be compiled here"):
        module.loaded(module.engine())


def test_a_call_finds_the_analyzer_when_it_is_there_again(
    folders: tuple[Path, Path], compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_instances", [])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AnalyzerMissing):
        evaluated("SELECT 1")
    shutil.copy(compiled, folders[1] / NAME)
    assert evaluated("SELECT 1") == [(1,)]


def test_compiling_in_a_process_of_its_own(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small module: the analyzer's own takes half a minute, and every installation compiles that one.
    package = tmp_path / "packages" / "zetasql"
    (package / "wasi").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "wasi" / "zetasql.wasm").write_bytes(wasmtime.wat2wasm(ONE))
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "zetasql", raising=False)
    assert [export.name for export in module.loaded(module.engine()).exports] == ["one"]
    assert [file.name for file in folders[0].glob("*.cwasm")] == [module._file_name(module.wasm_file())]
