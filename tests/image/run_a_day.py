"""Run in a container: makes a run for a day of acme's pipeline and prints the command of its worker, as a launcher does."""

import json
import sys
from datetime import date

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._grpc.types import ExecuteRunArgs

from convergence_assets.assets.tags import run_tags

day = date.fromisoformat(sys.argv[1])
repository = ReconstructableRepository.for_module("convergence_assets.definitions", "defs")
job = repository.get_definition().get_job("__ASSET_JOB")
with dg.DagsterInstance.get() as instance:
    run = instance.create_run_for_job(
        job,
        tags=run_tags("acme", "demo_costs", day, day, "manual") | {"dagster/partition": f"{day}"},
        job_code_origin=repository.get_reconstructable_job("__ASSET_JOB").get_python_origin(),
    )
    assert run.job_code_origin is not None
    print(json.dumps(ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref()).get_command_args()))
