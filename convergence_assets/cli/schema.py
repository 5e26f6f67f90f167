"""`convergence schema`: the JSON Schema of tenant, pipeline and suite files, for editors."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import BaseModel

from convergence_assets.pipelines.models import PipelineSpec, SuiteSpec
from convergence_assets.tenancy.tenant_file import Defaults, TenantSpec


class SchemaOf(StrEnum):
    """Which file's schema."""

    tenant = "tenant"
    defaults = "defaults"
    pipeline = "pipeline"
    suite = "suite"


_MODELS: dict[SchemaOf, type[BaseModel]] = {
    SchemaOf.tenant: TenantSpec,
    SchemaOf.defaults: Defaults,
    SchemaOf.pipeline: PipelineSpec,
    SchemaOf.suite: SuiteSpec,
}


def schema(
    of: Annotated[SchemaOf, typer.Argument(help="tenant.yaml, _defaults.yaml, pipeline.yaml or a suite")],
) -> None:
    """Print the JSON Schema of a file, generated from what the loader checks.

    Example: convergence schema tenant > tenant.schema.json
    """
    json_schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_MODELS[of].model_json_schema(by_alias=True),
    }
    typer.echo(json.dumps(json_schema, indent=2))
