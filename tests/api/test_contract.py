"""The OpenAPI document and the service agree: whatever is sent, by whoever, the answer is one that the document names."""

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from tests.api.service import ADMIN_KEY, Service, expire
from tests.examples import examples

load_all_checks()
AGREE = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)

# No answer's form depends on the database.
pytestmark = pytest.mark.parametrize("service", ["sqlite"], indirect=True, scope="module")
EXAMPLES = {"tenant": 10, "admin": 10, "none": 3, "expired": 3, "revoked": 3}
WANTED = {
    "tenant": {200, 202, 401, 404, 422}, "admin": {200, 201, 401, 404, 422},
    "none": {200, 401}, "expired": {200, 401}, "revoked": {200, 401},
}  # fmt: skip
"""Answers that have to be among those that were seen."""
NOT_READY = "/health/ready"  # 503 is what it is for


def headers_of(service: Service, who: str) -> dict[str, str]:
    if who == "admin":
        return {"x-admin-key": ADMIN_KEY}
    if who == "none":
        return {}
    secret = service.key(days={"tenant": 90, "expired": 7, "revoked": 8}[who])
    if who == "expired":
        expire(service, secret)
    if who == "revoked":
        keys = service.deployment.keys
        keys.revoke(next(key.key_id for key in keys.all("acme") if key.prefix == secret.split("_")[1]), "test")
    return {"x-api-key": secret}


def documented_body(document: dict[str, Any], operation: Any) -> Any:
    """The example of a request's body; None of one that has none."""
    request_body = document["paths"][operation.path][operation.method.lower()].get("requestBody")
    if request_body is None:
        return None
    schema = request_body["content"]["application/json"]["schema"]
    name = next(one["$ref"] for one in schema.get("anyOf", [schema]) if "$ref" in one).rpartition("/")[2]
    return document["components"]["schemas"][name]["examples"][0]


@pytest.mark.slow
@pytest.mark.property
@pytest.mark.parametrize("who", EXAMPLES)
def test_every_answer_is_one_that_the_document_names(service: Service, who: str) -> None:
    headers = headers_of(service, who)
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    seen, answers = 0, set[int]()
    there = {"pipeline_id": "demo_costs", "run_id": service.ids["failed"], "tenant_id": "acme"}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path == NOT_READY:
            continue
        seen += 1
        body = documented_body(schema.raw_schema, operation)
        if body is not None:  # what the document shows is sent as well, so that no seed decides what is seen
            named = {name: there.get(name, "unknown") for name in re.findall(r"\{(\w+)\}", operation.path)}
            case = operation.Case(path_parameters=named, body=body, media_type="application/json")
            answers.add(case.call_and_validate(headers=headers, checks=AGREE).status_code)  # type: ignore[arg-type]

        modes = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode))

        @settings(
            max_examples=examples(EXAMPLES[who]), deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=modes, known=st.booleans())
        def agrees(case: schemathesis.Case[Any], known: bool) -> None:
            sent = {n: v for n, v in (case.headers or {}).items() if n.lower() not in ("x-api-key", "x-admin-key")}
            case.headers = CaseInsensitiveDict(sent)
            if known:
                case.path_parameters = dict(case.path_parameters or {}) | {
                    name: value for name, value in there.items() if name in (case.path_parameters or {})
                }
            # The library says more of its checks where it gives them than where it takes them.
            answered = case.call_and_validate(headers=headers, checks=AGREE)  # type: ignore[arg-type]
            answers.add(answered.status_code)

        agrees()
    assert seen >= 15
    assert answers >= WANTED[who], answers


def test_everything_in_the_document_is_described_and_has_an_example(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            if path.startswith("/health"):
                continue
            assert {"401", "422", "429", "503"} <= set(operation["responses"]), where
            assert operation["security"], where
            for answer in operation["responses"].values():
                assert answer["description"], where
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        if name in ("Problem", "Conflict") or not name.startswith(("Run", "Plan", "Waiting", "Part", "TenantPipeline")):
            shown = "examples" in schema or any("examples" in p for p in schema["properties"].values())
            assert shown, name


def test_an_error_has_one_shape(service: Service) -> None:
    key = {"x-api-key": service.key()}
    answers = [
        service.client.get("/nowhere"),
        service.client.get("/api/v1/executions/nothing", headers=key),
        service.client.delete("/api/v1/pipelines", headers=key),
        service.client.get("/api/v1/pipelines/executions?limit=x", headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", content=b"{", headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", content=b"\xff\xfe", headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", content=rb'{"partition": "\ud800"}', headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", content=rb'{"\ud800": 1}', headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", json="x" * 100_000, headers=key),
        service.client.post("/api/v1/pipelines/demo_costs/runs", content=iter([b"[" * 1000] * 100), headers=key),
        service.client.get("/api/v1/pipelines"),
        service.client.get("/admin/tenants/acme"),
        service.client.get("/api/v1/executions/%00", headers=key),
        service.client.get("/api/v1/executions/%ff%fe", headers=key),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [404, 404, 405, 422, 422, 422, 422, 422, 413, 413, 401, 401, 404, 404], statuses
    for answer in answers:
        assert {"error", "message", "next"} <= set(answer.json()), answer.text
        assert all(answer.json()[part] for part in ("error", "message", "next"))
