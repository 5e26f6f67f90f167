"""Programs that are no Python packages. A user's machine may lack one: its tests are skipped there, and fail in CI."""

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """The path of a program of Debian's `package`."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not on the PATH: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def gcloud() -> str:
    """The path of gcloud, whose test is skipped where there is none: it is no package of Debian's."""
    path = shutil.which("gcloud")
    if path is None:
        pytest.skip("gcloud is not on the PATH: https://cloud.google.com/sdk/docs/install")
    return path


def bq() -> str:
    """The path of bq, which comes with gcloud."""
    path = shutil.which("bq")
    if path is None:
        pytest.skip("bq is not on the PATH: https://cloud.google.com/sdk/docs/install")
    return path


def kubectl() -> str:
    """The path of kubectl, whose test is skipped where there is none: Debian's is too old for these kustomizations."""
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not on the PATH: https://kubernetes.io/docs/tasks/tools/")
    return path
