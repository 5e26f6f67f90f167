"""The analyzer's WebAssembly module as machine code: compiled once a machine, afterwards read from a file.

Compiling takes 14 s and 1 GB of memory, reading the file 0.1 s. It is compiled in a process of its own, so that a
caller never holds that memory: `python -m convergence_assets.warehouse.googlesql.module`.
"""

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import wasmtime

COMPILE_WITHIN_SECONDS = 600
_ENGINE = b"shared memory, epochs"
_log = logging.getLogger(__name__)


class AnalyzerMissing(Exception):
    """There is no analyzer here; the message has the reason and the next step."""


def wasm_file() -> Path:
    """The module as the wheel ships it; raises `AnalyzerMissing` where a package is not installed."""
    missing = [name for name in ("zetasql", "wasmtime") if importlib.util.find_spec(name) is None]
    if missing:
        raise AnalyzerMissing(f"{' and '.join(missing)} not installed; `pip install convergence-assets` brings them")
    package = importlib.util.find_spec("zetasql")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0], "wasi", "zetasql.wasm")


def engine() -> "wasmtime.Engine":
    """As the module is compiled for and run by."""
    import wasmtime

    config = wasmtime.Config()
    config.shared_memory = True
    config.epoch_interruption = True  # a call can be ended from another thread
    return wasmtime.Engine(config)


def folders() -> tuple[Path, ...]:
    """Where the compiled module is searched."""
    # The image's build compiles with this file alone, into a folder that it names.
    from convergence_assets import kept_results

    return kept_results.folders()


def loaded(engine: "wasmtime.Engine") -> "wasmtime.Module":
    """The compiled module; compiled first where no folder has it. Raises `AnalyzerMissing`."""
    name = _file_name(wasm_file())
    module = _read(engine, name, folders())
    if module is None:
        _log.warning("compiling GoogleSQL's analyzer, once on this machine: about 15 s and 1 GB of memory")
        _compile_elsewhere()
        module = _read(engine, name, folders())
    if module is None:
        raise AnalyzerMissing(f"the analyzer was compiled and cannot be read from {' or '.join(map(str, folders()))}")
    return module


def _file_name(wasm: Path) -> str:
    # Wasmtime refuses a file of another version, processor or engine by itself; the name keeps such files apart.
    content = hashlib.sha256(wasm.read_bytes() + _ENGINE).hexdigest()[:16]
    return f"googlesql-{content}-wasmtime-{importlib.metadata.version('wasmtime')}-{platform.machine()}.cwasm"


def _read(engine: "wasmtime.Engine", name: str, places: Sequence[Path]) -> "wasmtime.Module | None":
    import wasmtime

    for file in _trusted(name, places):
        try:
            return wasmtime.Module.deserialize_file(engine, str(file))
        except wasmtime.WasmtimeError as error:  # cut off, damaged or of another processor
            _log.warning("%s does not load and is compiled anew: %s", file, str(error).splitlines()[0])
            with suppress(OSError):
                file.unlink()
    return None


def _trusted(name: str, places: Sequence[Path]) -> Iterator[Path]:
    """Files of that name that only this user or root can have written: their content is executed."""
    for folder in places:
        file = folder / name
        with suppress(OSError):
            has = file.stat()
            if stat.S_ISREG(has.st_mode) and has.st_uid in (0, os.getuid()) and not has.st_mode & 0o022:
                yield file


def _compile_elsewhere() -> None:
    command = [sys.executable, "-m", __name__, *map(str, folders())]
    path = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
            timeout=COMPILE_WITHIN_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AnalyzerMissing(f"the analyzer cannot be compiled here: {error}") from None
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise AnalyzerMissing(f"the analyzer cannot be compiled here: {last_line}")


def compile_once(places: Sequence[Path]) -> Path:
    """Compile into the first folder that can be written, unless it has the module already; gives the file."""
    import wasmtime
    from filelock import FileLock

    wasm = wasm_file()
    name, made_for = _file_name(wasm), engine()
    for folder in places:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{name}.lock"):
                if _read(made_for, name, places) is None:
                    _write(folder / name, wasmtime.Module.from_file(made_for, str(wasm)).serialize())
        except OSError:  # not ours, read-only or full
            continue
        return next(_trusted(name, places))
    raise AnalyzerMissing(f"none of {', '.join(map(str, places))} can be written")


def _write(file: Path, content: bytearray) -> None:
    descriptor, scratch = tempfile.mkstemp(prefix=file.name, dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(content)
        os.chmod(scratch, 0o644)
        os.rename(scratch, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise


if __name__ == "__main__":
    try:
        print(compile_once(tuple(map(Path, sys.argv[1:])) or folders()))
    except AnalyzerMissing as error:
        sys.exit(str(error))
