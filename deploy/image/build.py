"""Builds the image with docker, podman or buildah, the first that works here, and prints its name.

`python deploy/image/build.py [--stand-in]`. From the environment: IMAGE, the name to give; BASE, another base image;
PIP_CERT and PIP_CONFIG_FILE, the certificates and the pip.conf that the build installs with. `--stand-in` makes a base
from Debian's packages where the other one cannot be pulled; it needs mmdebstrap.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "python:3.11-slim-bookworm"
STAND_IN = "localhost/convergence-stand-in:bookworm"
TOOLS = {"docker": ["docker", "version"], "podman": ["podman", "info"], "buildah": ["buildah", "info"]}
"""What succeeds where a tool works: docker's command is often there without its service."""
SECRETS = {"certificates": "PIP_CERT", "pip.conf": "PIP_CONFIG_FILE"}


def succeeds(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def tool() -> str:
    """Ends the program where there is none."""
    for name, works in TOOLS.items():
        if shutil.which(name) and succeeds(*works):
            return name
    sys.exit(f"the image is built with {', '.join(TOOLS)}, and none of them works here: install one")


def image_name() -> str:
    return os.environ.get("IMAGE") or f"localhost/convergence:{version()}"


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def revision() -> str:
    """The commit, with `-dirty` where files have changed since; `unknown` outside of a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def stand_in(builder: str) -> str:
    """The name of a base with Debian's own Python 3.11, made where it is not there yet."""
    if succeeds(builder, "inspect", STAND_IN):
        return STAND_IN
    if not shutil.which("mmdebstrap"):
        sys.exit("the base image cannot be pulled, and mmdebstrap is missing, which makes another: install it")
    print(f"the base image cannot be pulled: making {STAND_IN} from Debian's packages", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "base.tar")
        included = "--include=python3,python3-venv,ca-certificates"
        make = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", included, "bookworm", str(tree)]
        subprocess.run(make, check=True, stdout=sys.stderr)
        if builder == "buildah":
            Path(scratch, "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
            load = ["buildah", "bud", "--tag", STAND_IN, scratch]
        else:
            load = [builder, "import", str(tree), STAND_IN]
        subprocess.run(load, check=True, stdout=sys.stderr)
    return STAND_IN


def build_command(builder: str, base: str) -> list[str]:
    begin = {"docker": ["docker", "build"], "podman": ["podman", "build"], "buildah": ["buildah", "bud", "--layers"]}
    return [*begin[builder], *_arguments(builder, base), "--tag", image_name(), "--file", "Containerfile", "."]


def _arguments(builder: str, base: str) -> Iterator[str]:
    for name, value in {"BASE": base, "VERSION": version(), "REVISION": revision()}.items():
        yield f"--build-arg={name}={value}"
    for name, variable in SECRETS.items():
        if file := os.environ.get(variable):
            yield f"--secret=id={name},src={Path(file).absolute()}"
    if builder != "docker":
        yield "--pull=false"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stand-in", action="store_true")
    builder, base = tool(), os.environ.get("BASE") or BASE
    if parser.parse_args().stand_in and not succeeds(builder, "inspect", base) and not succeeds(builder, "pull", base):
        base = stand_in(builder)
    # The tool's output is for a person; what a Makefile reads is the name alone.
    done = subprocess.run(build_command(builder, base), cwd=ROOT, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(f"{builder} did not build the image from {base}; BASE=IMAGE names another base")
    print(image_name())


if __name__ == "__main__":
    main()
