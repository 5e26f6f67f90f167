"""The lock of a run on its tenant's pipeline and days, as a Dagster step takes it and fails without it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial

import dagster as dg

from convergence_assets.settings import Settings

_RETRY_RUN_TAG = "dagster/retry_on_asset_or_op_failure"


@contextmanager
def locked(
    settings: Settings, tenant_id: str, pipeline: str, days: Sequence[date], context: dg.AssetExecutionContext
) -> Iterator[Callable[[], None]]:
    """Hold the days for the step's run, until the run ends; yields what every publish has to call first.

    Raises `dg.Failure`: not to be retried where another run holds or took one of the days, to be retried where the
    control store cannot be reached.
    """
    # Dagster has imported SQLAlchemy by the time a step runs; loading definitions does not.
    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.holding import holding
    from convergence_assets.control.locks import Claim, LockLost, Refused

    claim = Claim(tenant_id, pipeline, days[0], days[-1])
    try:
        held = holding(settings)
        lock = held.hold(claim, context.run.run_id, lambda run_id: _is_over(context.instance, run_id))
        yield partial(held.locks.confirm, lock)
    except (Refused, LockLost) as error:
        # Retries of whole runs look at this tag alone. It is public; setting it here is not (Dagster 1.13).
        context.instance.add_run_tags(context.run.run_id, {_RETRY_RUN_TAG: "false"})
        metadata = {"error_class": "locked"} | ({"holder_run_id": error.holder.run_id} if error.holder else {})
        raise dg.Failure(str(error), metadata, allow_retries=False) from error
    except ControlError as error:
        raise dg.Failure(f"{claim}: {error}", {"error_class": "control_store"}) from error


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    # A run that this instance does not know may be another instance's: no proof.
    return run is not None and run.is_finished
