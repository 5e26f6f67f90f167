"""The environment of the FinOps Foundation's validator: `python -m tests.focus_validator.environment FOLDER`.

The validator needs Python 3.12, and an older pyarrow than the project. Where there is no such Python the folder says so,
and the tests are skipped for that reason; with CI set this fails.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.peer.environment import python_of

NEEDED = (3, 12)
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
ABSENT = "absent"
"""The file that says why there is no validator."""


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    python = python_of(NEEDED, "CONVERGENCE_VALIDATOR_PYTHON")
    if python is None:
        reason = (
            f"the FinOps Foundation's validator needs Python {NEEDED[0]}.{NEEDED[1]} or newer and none was found: "
            "set CONVERGENCE_VALIDATOR_PYTHON to one"
        )
        if os.environ.get("CI"):
            sys.exit(reason)
        folder.mkdir(parents=True)
        (folder / ABSENT).write_text(reason)
        return
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", "-r", REQUIREMENTS], check=True)


if __name__ == "__main__":
    main()
