"""Makes `home.tar.xz`, the state that a release leaves behind, small enough to keep; `release.tar.xz` is its code.

    git worktree add /tmp/release TAG
    .venv/bin/python tests/former_release/make_home.py /tmp/release
    git archive --prefix=release/ TAG convergence_assets | xz -9 > tests/former_release/release.tar.xz

It runs that release's demo for one tenant over seven days, of which one is stopped by a check, and makes an API key and
a pause. Run it with a release before it becomes a former one; its `dagster.yaml` belongs beside the archive.

Until there is a first release, `release.tar.xz` is the last commit before the newest migration of the control store.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
TENANT = "globex"
"""The tenant of the demo that has a stopped day."""
LEFT_OUT = ("demo", "warehouse/staging", "warehouse/spill", "control.db.lock")


def main(release: Path) -> None:
    """Write the archive from a checkout of a release, run by this environment."""
    with tempfile.TemporaryDirectory() as scratch:
        project, home = Path(scratch, "project"), Path(scratch, "home")
        (project / "tenants").mkdir(parents=True)
        shutil.copyfile(release / "tenants" / "_defaults.yaml", project / "tenants" / "_defaults.yaml")
        shutil.copytree(release / "tenants" / TENANT, project / "tenants" / TENANT)
        shutil.copyfile(release / "dagster.yaml", project / "dagster.yaml")
        (home / "dagster").mkdir(parents=True)
        shutil.copyfile(release / "dagster.yaml", home / "dagster" / "dagster.yaml")
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "PYTHONPATH": str(release), "CONVERGENCE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"),
        }  # fmt: skip

        def convergence(*words: str) -> None:
            command = [sys.executable, "-m", "convergence_assets.cli.main", *words]
            subprocess.run(command, cwd=project, env=environ, check=True, stdout=subprocess.DEVNULL)

        convergence("demo", "--days", "7", "--rows-per-day", "100")
        convergence("keys", "create", TENANT)
        convergence("ledger", "rebuild")
        convergence("pause", TENANT, "--reason", "kept for the next release")
        with tarfile.open(FOLDER / "home.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(home.rglob("*")):
                name = str(path.relative_to(home))
                if path.is_file() and not name.startswith(LEFT_OUT):
                    archive.add(path, f"home/{name}")
            archive.add(project / "tenants", "tenants")
    print(f"{FOLDER / 'home.tar.xz'}: {(FOLDER / 'home.tar.xz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
