"""Every name of Dagster that is not public does what this project takes it for."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from convergence_assets import dagster_compat


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


def test_tags_are_added_to_a_run(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), tags={"a": "1", "b": "1"})
    dagster_compat.add_run_tags(instance, run.run_id, {"b": "2", "c": "3"})
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert {key: found.tags[key] for key in "abc"} == {"a": "1", "b": "2", "c": "3"}


def test_only_schedules_that_somebody_switched_off_are_stopped(instance: dg.DagsterInstance) -> None:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
    for name, status in (("off", InstigatorStatus.STOPPED), ("on", InstigatorStatus.RUNNING),
                         ("as_declared", InstigatorStatus.DECLARED_IN_CODE)):  # fmt: skip
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        data = ScheduleInstigatorData("0 6 * * *", None)
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))
    assert dagster_compat.stopped_schedules(instance) == {"off"}


def test_a_pool_keeps_the_limit_it_is_given(instance: dg.DagsterInstance) -> None:
    assert dagster_compat.pool_limits(instance) == {}
    dagster_compat.set_pool_limit(instance, "tenant_acme", 3)
    dagster_compat.set_pool_limit(instance, "tenant_acme", 5)
    assert dagster_compat.pool_limits(instance) == {"tenant_acme": 5}
