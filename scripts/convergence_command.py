"""Finds the `convergence` command for the scripts that go by former names."""

import os
import shutil
import sys
from pathlib import Path


def replace_with(*arguments: str) -> None:
    """Run `convergence` with these arguments in place of this process."""
    here = Path(__file__).parents[1] / ".venv" / "bin" / "convergence"
    beside = Path(sys.executable).with_name("convergence")
    command = next((str(path) for path in (beside, here) if path.exists()), None) or shutil.which("convergence")
    if command is None:
        sys.exit("the command `convergence` is not installed here. Next: make install")
    os.execv(command, [command, *arguments])
