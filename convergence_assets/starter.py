"""The files of a new project: `dagster.yaml`, `workspace.yaml` and the tenants of the demo.

A wheel has them in `starter/` within the package; in a checkout they are at its top.
"""

import shutil
from pathlib import Path

_PACKAGE = Path(__file__).parent
_FILES = ("dagster.yaml", "workspace.yaml", "tenants")


def starter(name: str) -> Path:
    """A file or folder that ships with this release, such as `dagster.yaml`."""
    packaged = _PACKAGE / "starter" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


def write_project(folder: Path) -> list[str]:
    """Write the files of a new project into a folder; the names of those that were missing there."""
    missing = [name for name in _FILES if not (folder / name).exists()]
    for name in missing:
        if starter(name).is_dir():
            shutil.copytree(starter(name), folder / name)
        else:
            shutil.copyfile(starter(name), folder / name)
    return missing
