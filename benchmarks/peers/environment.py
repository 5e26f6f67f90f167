"""The peers' environments, one each beside this file: `python benchmarks/peers/environment.py`.

dbt-core is held at 1.11: 1.12 needs a parser that its package fetches from elsewhere while it is installed. DuckDB is
held at the project's own version in both, so that all three run the same engine on the same files.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.absolute()
FOLDER = HERE / ".environments"
PEERS = ("dbt", "sqlmesh")


def command_of(peer: str) -> str:
    """The peer's command; ends the program with a word on how to install it where it is not."""
    command = FOLDER / peer / "bin" / peer
    if not command.exists():
        sys.exit(f"{peer} is not installed. Next: {Path(sys.executable).name} benchmarks/peers/environment.py")
    return str(command)


def main() -> None:
    for peer in PEERS:
        shutil.rmtree(FOLDER / peer, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER / peer], check=True)
        pip: list[str | Path] = [
            FOLDER / peer / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "-r", HERE / f"requirements-{peer}.txt"], check=True)
        subprocess.run([FOLDER / peer / "bin" / "python", "-m", "compileall", "-q", FOLDER / peer / "lib"], check=False)


if __name__ == "__main__":
    main()
