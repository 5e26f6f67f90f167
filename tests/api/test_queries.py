"""What a tenant reads of its pipelines and runs."""

from datetime import UTC, datetime

from tests.api.service import MARKER, Service


def test_pipelines_have_their_schedule_last_run_and_what_is_due(service: Service) -> None:
    answer = service.get("/api/v1/pipelines")
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["pipelines"]
    assert (found["pipeline_id"], found["timezone"], found["paused"]) == ("demo_costs", "Europe/Berlin", None)
    assert found["tables"] == ["lines", "totals"]
    assert found["last_published"] is None
    assert found["behind_days"] > 100
    assert found["last_run"]["run_id"] == service.ids["shared"]


def test_runs_come_newest_first_page_by_page_none_twice_and_none_lost(service: Service) -> None:
    seen, cursor, pages = [], None, 0
    while True:
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        answer = service.get("/api/v1/pipelines/demo_costs/executions", limit=7, **more).json()
        seen += answer["executions"]
        pages += 1
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert pages == 4
    ids = [run["run_id"] for run in seen]
    assert len(ids) == len(set(ids)) == 28
    assert [run["created_at"] for run in seen] == sorted((run["created_at"] for run in seen), reverse=True)
    whole = service.get("/api/v1/pipelines/executions", limit=200).json()
    assert [run["run_id"] for run in whole["executions"]] == ids
    assert all(run["created_at"].endswith("Z") for run in seen)


def test_runs_are_chosen_by_status_and_moment(service: Service) -> None:
    failed = service.get("/api/v1/pipelines/executions", status="failed").json()["executions"]
    assert {run["run_id"] for run in failed} == {service.ids["failed"], service.ids["shared"]}
    both = service.get("/api/v1/pipelines/executions", status=["failed", "running"]).json()["executions"]
    assert both == failed
    assert service.get("/api/v1/pipelines/executions", status="running").json()["executions"] == []
    recent = service.get("/api/v1/pipelines/executions", since="2026-01-01T20:00:00+01:00", limit=200).json()
    assert min(run["created_at"] for run in recent["executions"]) == "2026-01-01T19:00:00Z"
    naive = service.get("/api/v1/pipelines/executions", since="2026-01-01T19:00:00", limit=200).json()
    assert naive == recent


def test_a_run_in_full_has_steps_rows_and_why_it_failed(service: Service) -> None:
    good = service.get(f"/api/v1/executions/{service.ids['good']}").json()
    assert [(s["table"], s["status"], s["rows_published"]) for s in good["steps"]] == [
        ("lines", "succeeded", 4), ("totals", "succeeded", 1)
    ]  # fmt: skip
    assert good["complete"]
    assert good["rows_published"] == 5
    assert all(step["duration_ms"] >= 0 and step["attempts"] == 1 for step in good["steps"])
    assert good["steps"][0]["partitions_published"] == ["2026-03-01"]
    failed = service.get(f"/api/v1/executions/{service.ids['failed']}").json()
    assert failed["status"] == "failed"
    assert failed["error"]["error_class"] == "ValueError"
    assert failed["error"]["message"] == "the bill is not there"
    assert failed["error"]["remedy"]
    (step,) = failed["steps"]
    assert (step["status"], step["error"]["message"]) == ("failed", "the bill is not there")


def test_a_run_that_dagster_has_forgotten_is_known_by_the_index(service: Service) -> None:
    found = service.get("/api/v1/executions/old-3").json()
    assert (found["steps"], found["complete"], found["rows_published"]) == ([], False, 3)


def test_of_a_run_that_is_two_tenants_each_sees_its_own_part(service: Service) -> None:
    own = service.get(f"/api/v1/executions/{service.ids['shared']}")
    assert MARKER not in own.text
    assert [step["table"] for step in own.json()["steps"]] == ["lines"]
    assert own.json()["error"]["message"] == "The run has failed; its steps say where."
    theirs = service.get(f"/api/v1/executions/{service.ids['shared']}", tenant_id="globex_zzsecret").json()
    assert [step["table"] for step in theirs["steps"]] == [f"{MARKER}_lines"]
    assert theirs["steps"][0]["error"]["message"] == f"{MARKER} broke"


def test_what_is_wrong_in_a_question_is_said(service: Service) -> None:
    for params, word in (
        ({"cursor": "nonsense"}, "cursor"), ({"cursor": "AAAA"}, "cursor"), ({"limit": 0}, "limit"),
        ({"status": "sleeping"}, "status"), ({"since": "soon"}, "since"), ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
    ):  # fmt: skip
        answer = service.get("/api/v1/pipelines/executions", **params)
        assert answer.status_code == 422, (params, answer.text)
        assert set(answer.json()) == {"error", "message", "next"}
        assert word in answer.json()["message"]


def test_moments_are_utc(service: Service) -> None:
    run = service.get(f"/api/v1/executions/{service.ids['good']}").json()
    created = datetime.fromisoformat(run["created_at"])
    assert created.tzinfo == UTC
    assert abs((datetime.now(UTC) - created).total_seconds()) < 300
