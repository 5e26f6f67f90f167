"""`/health`: whether this process lives, and whether the platform works. No key is needed."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from convergence_assets.api.access import DeploymentDep
from convergence_assets.api.readiness import Part

health = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "live"}]})

    status: Literal["live"]


class PartState(BaseModel):
    """One part of the platform."""

    ready: bool
    said: str = Field(description="What it says of itself, or what is wrong")


class Ready(BaseModel):
    """Every part, and the names of those that do not work."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "not_ready", "warehouse": "embedded", "not_ready": ["daemons"],
                    "parts": {"daemons": {"ready": False, "said": "no heartbeat of SENSOR (never)"}},
                }
            ]
        }
    )  # fmt: skip

    status: Literal["ready", "not_ready"]
    warehouse: str = Field(description="Which warehouse is active: embedded or bigquery")
    not_ready: list[str]
    parts: dict[str, PartState]


@health.get("/live", summary="Whether this process lives")
async def live() -> Live:
    """Checks nothing else."""
    return Live(status="live")


@health.get(
    "/ready", response_model=Ready, responses={503: {"model": Ready, "description": "`not_ready` names what is not"}},
    summary="Whether the platform works",
)  # fmt: skip
def ready(deployment: DeploymentDep) -> JSONResponse:
    """Control store, Dagster's storage, daemons, code location and warehouse; checked once in five seconds."""
    parts = dict(deployment.readiness.parts())
    if deployment.draining.is_set():
        parts["api"] = Part(False, "it is about to end")
    missing = [name for name, part in parts.items() if not part.ready]
    body = Ready(
        status="not_ready" if missing else "ready",
        warehouse=deployment.settings.warehouse,
        not_ready=missing,
        parts={name: PartState(ready=part.ready, said=part.message) for name, part in parts.items()},
    )
    return JSONResponse(body.model_dump(), 503 if missing else 200)
