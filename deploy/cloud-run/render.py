"""Writes the manifests of an environment for `gcloud run … replace`: `python deploy/cloud-run/render.py production`.

Each file of templates/ gets the environment's values, its variables and its secrets; the results are in
build/cloud-run/ENVIRONMENT. Cloud Run has no ConfigMap: every process has its variables in its own manifest.
"""

import string
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
_VALUES = ("project", "region", "image", "network", "subnetwork")


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a service, a worker pool or a job."""
    spec = manifest["spec"]["template"]["spec"]
    while "containers" not in spec:
        spec = spec["template"]["spec"]
    return list(spec["containers"])


def rendered(environment: Path) -> dict[str, dict[str, Any]]:
    """The manifest of each template, by its name; ends the program where the environment lacks a value."""
    values = yaml.safe_load(environment.read_text())
    if missing := [name for name in (*_VALUES, "variables", "secrets") if name not in values]:
        sys.exit(f"{environment}: {', '.join(missing)} is missing")
    variables = [{"name": name, "value": str(value)} for name, value in values["variables"].items()]
    secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "latest"}}}
        for name, secret in values["secrets"].items()
    ]
    manifests = {}
    for template in sorted((HERE / "templates").glob("*.yaml")):
        text = string.Template(template.read_text()).substitute({name: values[name] for name in _VALUES})
        manifest = yaml.safe_load(text)
        for container in containers(manifest):
            container["env"] = [*container.get("env", ()), *variables, *secrets]
        manifests[template.stem] = manifest
    return manifests


def main() -> None:
    environments = sorted((HERE / "environments").glob("*.yaml"))
    named = {environment.stem: environment for environment in environments}
    if len(sys.argv) != 2 or sys.argv[1] not in named:
        sys.exit(f"usage: render.py ENVIRONMENT, one of {', '.join(named)}")
    folder = HERE.parents[1] / "build" / "cloud-run" / sys.argv[1]
    folder.mkdir(parents=True, exist_ok=True)
    for name, manifest in rendered(named[sys.argv[1]]).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    print(folder)


if __name__ == "__main__":
    main()
