"""A warning says what is right in a tenant's files and does not work here."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from convergence_assets.assets.files import source_files
from convergence_assets.tenancy import warnings
from convergence_assets.tenancy.tenant import Step, TenantRegistry
from convergence_assets.warehouse.errors import NotFound


@pytest.fixture
def step(load: Callable[..., TenantRegistry]) -> Step:
    """A step that reads a bucket."""
    tenant = load().tenants["initech"]
    files = next(step for pipeline in tenant.pipelines for step in pipeline.steps if step.path is not None)
    return replace(files, path="s3://bucket/initech/{date}/*.csv", folder=None)


def test_files_whose_library_is_not_installed_are_a_warning_with_what_to_install(
    load: Callable[..., TenantRegistry], step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = load().tenants["initech"]
    pipeline = next(p for p in tenant.pipelines if any(s.table == step.table for s in p.steps))
    of_bucket = replace(tenant, pipelines=(replace(pipeline, steps=(step,)),))
    monkeypatch.setattr(warnings, "find_spec", lambda module: None)
    (problem,) = warnings._unreadable_places("tenants/initech", of_bucket)
    assert problem.message == "files at s3:// cannot be read by this installation"
    assert "pip install 'convergence-assets[s3]'" in problem.render()
    monkeypatch.setattr(warnings, "find_spec", lambda module: object())
    assert list(warnings._unreadable_places("tenants/initech", of_bucket)) == []


def test_a_run_that_lacks_the_library_says_what_to_install(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def without_library(pattern: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", without_library)
    with (
        pytest.raises(NotFound, match=r"lacks s3fs: pip install 'convergence-assets\[s3\]'"),
        source_files(step, [date(2026, 10, 1)]),
    ):
        pass
