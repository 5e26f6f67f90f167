"""Runs the demo from the wheel alone: `python scripts/test_wheel.py dist/*.whl`, in a new environment and folder."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(wheel: str) -> None:
    """Install, run the demo in an empty folder, and check what it used; raises where something is wrong."""
    with tempfile.TemporaryDirectory(prefix="convergence-wheel-") as scratch:
        environment, project = Path(scratch, "environment"), Path(scratch, "project")
        project.mkdir()
        venv.create(environment, with_pip=True)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        requirement = f"{Path(wheel).resolve()}[demo]"
        subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", requirement], check=True)
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        demo = [environment / "bin" / "convergence", "demo", "--days", "7", "--json"]
        done = subprocess.run(demo, cwd=project, env=inherited, check=True, stdout=subprocess.PIPE, text=True)
        tenants = {tenant["tenant"]: tenant for tenant in json.loads(done.stdout)}
        assert set(tenants) == {"acme", "globex", "initech"}, tenants.keys()
        assert sorted(path.name for path in project.iterdir() if not path.name.startswith(".")) == [
            "dagster.yaml", "landing", "tenants", "workspace.yaml"
        ], list(project.iterdir())  # fmt: skip
        used = (project / ".convergence" / "dagster" / "dagster.yaml").read_text()
        assert used == (ROOT / "dagster.yaml").read_text(), "the demo did not use this project's dagster.yaml"
        subprocess.run([environment / "bin" / "convergence", "validate"], cwd=project, env=inherited, check=True)
    print(f"{Path(wheel).name}: the demo runs in an empty folder")


if __name__ == "__main__":
    main(sys.argv[1])
