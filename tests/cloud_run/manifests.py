"""What deploy/cloud-run renders."""

import functools
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "cloud-run"
Object = dict[str, Any]
_RENDER = runpy.run_path(str(FOLDER / "render.py"))


@functools.cache
def manifests(environment: str = "production") -> dict[str, Object]:
    """Each manifest by the name of its template; to be read only."""
    rendered: dict[str, Object] = _RENDER["rendered"](FOLDER / "environments" / f"{environment}.yaml")
    return rendered


def container(manifest: Object) -> Object:
    """The one container of a service, a worker pool or a job."""
    (found,) = _RENDER["containers"](manifest)
    assert isinstance(found, dict)
    return found


def task(job: Object) -> Object:
    """What a task of a job is made of."""
    spec: Object = job["spec"]["template"]["spec"]["template"]["spec"]
    return spec
