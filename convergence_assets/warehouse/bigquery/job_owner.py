"""Which process sent a job, as labels of the job: how a sweep distinguishes a killed worker's job from a live one's."""

from collections.abc import Mapping
from dataclasses import asdict, fields

from convergence_assets import process
from convergence_assets.process import Owner, this_process
from convergence_assets.warehouse.bigquery.labels import value_of

_PREFIX = "owner_"


def owner_labels() -> dict[str, str]:
    """This process."""
    return {_PREFIX + name: value_of(str(value)) for name, value in asdict(this_process()).items()}


def is_gone(labels: Mapping[str, str]) -> bool | None:
    """Whether the process that sent a job has ended; None where the labels or this host cannot show it."""
    try:
        values = {field.name: labels[_PREFIX + field.name] for field in fields(Owner)}
        owner = Owner(values["host"], values["boot_id"], values["space"], int(values["process"]), values["started"])
    except (KeyError, ValueError):
        return None
    return process.is_gone(owner, spelled=value_of)
