"""Markers of a step's sources for days that may have changed after they were published."""

from datetime import date

from convergence_assets.assets.own_tables import refuse_others
from convergence_assets.assets.schema_mapping import table_names, window_parameters, written
from convergence_assets.assets.window import Window
from convergence_assets.tenancy.tenant import Step, Tenant
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Query


def markers(warehouse: Warehouse, tenant: Tenant, step: Step, window: Window, job: Job) -> dict[date, str]:
    """The marker of each of the window's days, as text; a day without rows has none, nor has a step that does not ask.

    Asked before rows are read: rows that come in between are then found to be late. Raises `WarehouseError`.
    """
    if step.late_data is None:
        return {}
    values = window_parameters(tenant, step, window.days, window.start, window.end)
    used = {name: value for name, value in values.items() if name in step.late_data.parameters}
    sql = step.late_data.resolve(table_names(tenant, step))
    refuse_others(sql, tenant, step)
    rows = warehouse.rows(Query(sql, used, written(tenant, step, step.late_data)), job)
    return {row["day"]: str(row["marker"]) for row in rows if row["day"] in window.bounds}
