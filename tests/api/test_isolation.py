"""Never a byte of another tenant's: whatever a tenant asks for, in every route that reads."""

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.api.app import build_app
from tests.api.service import ADMIN_KEY, MARKER, OTHER, OTHER_PIPELINE, OTHER_RUN, Service

# Which tenant a key sees is decided above the store, whose SQL tests/control holds on both databases.
pytestmark = pytest.mark.parametrize("service", ["sqlite"], indirect=True, scope="module")

_UNKNOWN = ("nothing", "0" * 36)


def routes(service: Service) -> list[str]:
    """Every path that a tenant's GET or POST may have."""
    paths = build_app(service.deployment).openapi()["paths"]
    return sorted(f"{method} {path}" for path, operation in paths.items() if "/api/v1" in path for method in operation)


def test_no_route_gives_anything_of_another_tenant(service: Service) -> None:
    theirs = [OTHER, OTHER_PIPELINE, OTHER_RUN, f"{MARKER}-1", service.ids["other"], service.ids["other request"]]
    own_ids = ["demo_costs", "old-1", service.ids["good"], service.ids["shared"], service.ids["request"]]
    names = st.sampled_from([*theirs, *own_ids, *_UNKNOWN]) | st.text(st.characters(codec="utf-8"), max_size=20)
    cursors = [
        service.get("/api/v1/pipelines/executions", tenant_id=OTHER, limit=1).json()["next_cursor"],
        service.get("/api/v1/pipelines/executions", limit=1).json()["next_cursor"],
    ]
    params = st.fixed_dictionaries(
        {},
        optional={
            "status": st.lists(st.sampled_from(["queued", "running", "succeeded", "failed", "canceled"]), max_size=3),
            "since": st.datetimes().map(str), "limit": st.integers(1, 200), "cursor": st.sampled_from(cursors),
            "tenant_id": st.just(OTHER), "tenant": st.just(OTHER), "pipeline": st.just(OTHER_PIPELINE),
        },
    )  # fmt: skip
    headers = st.fixed_dictionaries({}, optional={"x-tenant-id": st.just(OTHER), "x-tenant": st.just(OTHER)})
    reading = [route for route in routes(service) if route.startswith("get ")]
    assert len(reading) >= 5

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(route=st.sampled_from(reading), name=names, params=params, headers=headers)
    def holds(route: str, name: str, params: dict[str, str | int | list[str] | None], headers: dict[str, str]) -> None:
        path = route.removeprefix("get ")
        for parameter in ("{pipeline_id}", "{run_id}", "{request_id}"):
            path = path.replace(parameter, quote(name, safe=""))
        answer = service.client.get(path, params=params, headers=headers | {"x-api-key": service.key()})
        assert answer.status_code in (200, 404, 405, 422), answer.text
        assert MARKER not in answer.text
        assert MARKER not in str(answer.headers)

    holds()


@pytest.mark.parametrize("route", ["executions/{}", "executions/{}/retry", "executions/{}/cancel", "requests/{}",
                                   "pipelines/{}/executions", "pipelines/{}/runs"])  # fmt: skip
def test_what_is_another_tenants_is_answered_as_what_does_not_exist(service: Service, route: str) -> None:
    writes = route.endswith(("retry", "cancel", "runs"))
    theirs = [OTHER_RUN, service.ids["other"], service.ids["other request"], OTHER_PIPELINE, OTHER]
    answers = set()
    for name in (*theirs, *_UNKNOWN):
        path = f"/api/v1/{route.format(name)}"
        answer = service.post(path, {"partition": "2026-04-01"}) if writes else service.get(path)
        answers.add((answer.status_code, answer.text, answer.headers.get("content-type")))
    assert len(answers) == 1, answers
    assert answers.pop()[0] == 404


def test_each_tenant_is_given_its_own(service: Service) -> None:
    """The markers are there to be found: by the tenant whose they are, and by the operator."""
    for path in ("pipelines", "pipelines/executions", f"executions/{OTHER_RUN}", f"executions/{service.ids['other']}",
                 f"requests/{service.ids['other request']}", f"pipelines/{OTHER_PIPELINE}/executions"):  # fmt: skip
        answer = service.get(f"/api/v1/{path}", tenant_id=OTHER)
        assert answer.status_code == 200, path
        assert MARKER in answer.text
    found = service.client.get("/admin/alerts", headers={"x-admin-key": ADMIN_KEY})
    assert MARKER in found.text
