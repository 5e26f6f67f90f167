"""A publication names the definition that made it, in parts that can be compared."""

import sqlalchemy as sa

from convergence_assets.control.definitions import definition_contents
from convergence_assets.control.publications import publications_of
from convergence_assets.control.store import ControlStore
from convergence_assets.tenancy.definition import Definition, definition_of
from convergence_assets.tenancy.registry import load_registry
from tests.preview.fleet import DAYS, TENANTS, Fleet

COSTS = "acme/pipelines/costs"


def definitions(fleet: Fleet) -> dict[str, Definition]:
    registry = load_registry(str(fleet.folder / "tenants"), None, today=DAYS[-1])
    assert not registry.problems, [p.render() for p in registry.problems]
    acme = registry.tenants["acme"]
    return {step.table: definition_of(acme, step) for step in acme.pipelines[0].steps}


def test_every_published_day_names_its_definition_which_is_stored_once(fleet: Fleet) -> None:
    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.read() as connection:
        published = publications_of(connection, "acme")
        contents = definition_contents(connection, {one.definition or "" for one in published})
    now = definitions(fleet)
    assert {(one.table, one.day) for one in published} == {(table, day) for table in now for day in DAYS}
    for one in published:
        assert one.definition == now[one.table].version
        assert Definition.stored(contents[one.definition]) == now[one.table]
    assert len(contents) == 2


def test_a_change_is_of_the_part_that_it_changes(fleet: Fleet) -> None:
    edits = {
        "sql": ("lines.sql", "    cost,\n", "    cost + 1 AS cost,\n"),
        "schema": ("pipeline.yaml", "{name: service, type: STRING}", "{name: service, type: STRING, mode: REQUIRED}"),
        "suite": ("expectations/lines.yaml", "max_value: 50", "max_value: 51"),
        "text": ("lines.sql", "SELECT\n", "# as exported\nSELECT\n"),
    }
    before = definitions(fleet)["lines"]
    for part, (file, old, new) in edits.items():
        fleet.edit(f"{COSTS}/{file}", old, new)
        now = definitions(fleet)["lines"]
        assert before.differences(now) == (part,)
        before = now
    fleet.edit("acme/tenant.yaml", "acme_billing.bills", "acme_billing.other_bills")
    assert before.differences(definitions(fleet)["lines"]) == ("sources",)


def test_two_tenants_of_one_template_differ_in_their_sources_alone(fleet: Fleet) -> None:
    registry = load_registry(str(TENANTS), None, today=DAYS[-1])
    lines = [definition_of(tenant, tenant.pipelines[0].steps[0]) for tenant in registry.tenants.values()]
    assert lines[0].differences(lines[1]) == ("sources",)


def test_a_store_of_a_former_release_has_publications_without_a_definition(fleet: Fleet) -> None:
    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE convergence_publications SET definition = NULL"))
    code, answer = fleet.preview()
    assert (code, answer["touched"]) == (0, []), "then it is compared with the files that were accepted"
    fleet.edit(f"{COSTS}/lines.sql", "    cost,\n", "    ROUND(cost, 1) AS cost,\n")
    assert fleet.preview()[0] == 3
