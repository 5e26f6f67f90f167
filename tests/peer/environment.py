"""The environment of the local BigQuery server that the tests run against: `python tests/peer/environment.py FOLDER`.

The server (local-bigquery) needs Python 3.13 and other versions than the project, so it has an environment of its own.
Its DuckDB extensions come from wheels, into the same folder: nothing is fetched when it starts.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 13)
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
EXTENSIONS = "from duckdb_extensions import import_extension as get; [get(n) for n in ('icu', 'ducklake', 'spatial')]"


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([_python(), "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    # No dependency resolution: local-bigquery asks for DuckDB 2, and runs on the 1.5 that its extensions exist for.
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
    subprocess.run([python, "-c", EXTENSIONS], check=True, env=os.environ | {"HOME": str(folder)})
    subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False, stdout=subprocess.DEVNULL)


def _python() -> str:
    """A Python that can run the server: CONVERGENCE_PEER_PYTHON, else the first that is found."""
    return python_of(NEEDED, "CONVERGENCE_PEER_PYTHON") or sys.exit(
        f"the local BigQuery server needs Python {NEEDED[0]}.{NEEDED[1]} or newer and none was found: "
        "set CONVERGENCE_PEER_PYTHON to one"
    )


def python_of(needed: tuple[int, int], variable: str) -> str | None:
    """A Python of this version or newer: the one that the variable names, else the first that is found."""
    if named := os.environ.get(variable):
        if not _is_new_enough(named, needed):
            sys.exit(f"{variable}={named}: expected a Python {needed[0]}.{needed[1]} or newer")
        return named
    installed = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"), reverse=True)
    for candidate in ("python3.13", "python3.14", "python3.12", "python3", *map(str, installed)):
        found = shutil.which(candidate)
        if found and _is_new_enough(found, needed):
            return found
    return None


def _is_new_enough(python: str, needed: tuple[int, int]) -> bool:
    words = [python, "-c", f"import sys; sys.exit(sys.version_info < {needed})"]
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    main()
