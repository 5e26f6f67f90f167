"""The files that are previewed: those of the working folder, or of a commit."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from convergence_assets.pipelines.catalog import templates_in
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry

_LIBRARY = "convergence_assets/pipelines/library"


class NoSuchRef(ValueError):
    """A commit that cannot be read; the message says what git said."""


def load_candidate(settings: Settings, ref: str | None) -> TenantRegistry:
    """The tenants as these files have them, checked as in a load; nothing is accepted.

    With `ref`, the tenants' folder as of a commit, with the library of that commit where it has one. Raises
    `NoSuchRef` and `UnreadableFolder`.
    """
    today, context = datetime.now(UTC).date(), LoadContext.of(settings)
    if ref is None:
        return load_registry(settings.tenants, settings.accepted_tenants, today=today, context=context, keep=False)
    with _extracted(settings.tenants, ref) as (tenants, library):
        context = replace(context, landing=settings.landing)
        templates = templates_in(library) if library.is_dir() else None
        return load_registry(
            str(tenants), settings.accepted_tenants, today=today, templates=templates, context=context, keep=False
        )


@contextmanager
def _extracted(tenants: str, ref: str) -> Iterator[tuple[Path, Path]]:
    """The tenants' folder and the library of a commit, in a folder that is removed afterwards."""
    if "://" in tenants:
        raise NoSuchRef(f"--ref reads the repository of a local folder, and CONVERGENCE_TENANTS is {tenants}")
    top = Path(_git(tenants, "rev-parse", "--show-toplevel").decode().strip())
    commit = _git(tenants, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").decode().strip()
    inside = Path(tenants).resolve().relative_to(top.resolve())
    paths = [str(inside)]
    if _git(str(top), "ls-tree", commit, "--", f"{_LIBRARY}/"):
        paths.append(_LIBRARY)
    archive = _git(str(top), "archive", "--format=tar", commit, "--", *paths)
    with tempfile.TemporaryDirectory(prefix="convergence-preview-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder, inside), Path(folder, _LIBRARY)


def _git(folder: str, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, check=False)
    except OSError as error:
        raise NoSuchRef(f"--ref needs git: {error.strerror or error}") from None
    if done.returncode:
        raise NoSuchRef(f"git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
