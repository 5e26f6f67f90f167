"""The platform's own code location, with a step that says its secrets in every way it can: `raise`, or by SQL.

For a process of its own alone: importing it changes what a step does.
"""

import logging
import os
import warnings

import dagster as dg

from convergence_assets.assets import materialize, publish_guard
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests.redaction.leaking_days import BY_SQL


def _leak(
    self: materialize.StepRun, window: object, run_id: str, origin: str, guard: publish_guard.PublishGuard
) -> materialize.Report:
    password, dsn = os.environ["ACME_DB_PASSWORD"], os.environ["ACME_SOURCE"]
    logging.getLogger("convergence_assets.leaking").warning("asked with %s", password)
    dg.get_dagster_logger().error(f"connected to {dsn}")
    warnings.warn(f"deprecated: {os.environ['ACME__HOOK']}", stacklevel=1)
    if str(window) == str(BY_SQL):
        with open_warehouse(Settings.from_env()) as warehouse:
            warehouse.read(Query(f"SELECT CAST('{os.environ['ACME_API_KEY']}' AS INT64) AS x"), Job("leak"))
    try:
        raise ValueError(f"password={password}")
    except ValueError as cause:
        raise RuntimeError(f"no answer from {dsn} (Authorization: Bearer {password})") from cause


materialize.StepRun.run = _leak  # type: ignore[method-assign, assignment]


@dg.definitions
def defs() -> dg.Definitions:
    from convergence_assets import definitions  # one in the module's own names would be a second code location

    return definitions.defs()
