"""A location is snapshotted once and let go, sent in pieces, and read again where another server answers for it."""

import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.error import SerializableErrorInfo

from convergence_assets.dagster_internals import location_snapshots
from tests.dagster_homes import dagster_at
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path_factory.mktemp("dagster")) as found:
        yield found


SNAPSHOT_IS_LET_GO = """
import gc
from collections import Counter
import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap
from convergence_assets.dagster_internals import location_snapshots
from convergence_assets import definitions

assert not location_snapshots.is_code_server()
import dagster._grpc.server
assert location_snapshots.is_code_server()
repository = definitions.defs().get_repository_def()
snapshot = RepositorySnap.from_def(repository, defer_snapshots=True)
assets, checks = len(snapshot.asset_nodes), len(snapshot.asset_check_nodes)
del snapshot
gc.collect()
alive = Counter(type(found).__name__ for found in gc.get_objects())
print(assets, checks, alive["AssetNodeSnap"], alive["AssetCheckNodeSnap"], alive["TimeWindowPartitionsSnap"])
"""


def test_the_snapshot_of_a_location_is_let_go(tmp_path: Path) -> None:
    home = {"CONVERGENCE_HOME": str(tmp_path), "CONVERGENCE_TENANTS": str(ROOT / "tenants")}
    environ = os.environ | home | {"ACME__SLACK_URL": "https://alerts.example/acme"}
    done = subprocess.run(
        [sys.executable, "-W", "error::dagster.BetaWarning", "-c", SNAPSHOT_IS_LET_GO],
        env=environ, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assets, checks, *alive = map(int, done.stdout.split())
    assert assets > 6
    assert checks > 100
    assert max(alive) <= 3, alive


def test_a_code_server_makes_each_snapshot_once_however_often_it_loads_and_whoever_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dagster._core.remote_representation.external_data import RepositoryErrorSnap
    from dagster._grpc import server

    made: list[str] = []
    answers: list[int] = []
    working, most, barrier = [0], [0], threading.Barrier(8)
    broken = serialize_value(RepositoryErrorSnap(error=SerializableErrorInfo("it broke", [], "ValueError")))

    def answered(this: object, request: Any) -> str:
        working[0] += 1
        most[0] = max(most[0], working[0])
        time.sleep(0.05)  # long enough for the others to come in, if they could
        working[0] -= 1
        made.append(
            deserialize_value(request.serialized_repository_python_origin, RemoteRepositoryOrigin).repository_name
        )
        return broken if "broken" in made[-1] else f"{made[-1]} {request.defer_snapshots}"

    class Served:
        _get_serialized_external_repository_data = answered

    monkeypatch.setattr(server, "DagsterApiServer", Served)
    for _ in range(3):
        location_snapshots.snapshot_once(lambda: answers.append(len(made)))
    messages: list[str] = []
    one: Any = Served()

    def request(repository: str, by: str, *, deferred: bool = True) -> Any:
        location = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name=by)
        origin = serialize_value(RemoteRepositoryOrigin(location, repository))
        return SimpleNamespace(serialized_repository_python_origin=origin, defer_snapshots=deferred)

    def ask(repository: str, by: str) -> None:
        barrier.wait(10)
        messages.append(one._get_serialized_external_repository_data(request(repository, by)))

    asking = [
        threading.Thread(target=ask, args=(repository, by))
        for repository in ("a", "b", "broken", "a")
        for by in ("daemon", "webserver")
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(30)
    assert sorted(messages) == sorted(["a True"] * 4 + ["b True"] * 2 + [broken] * 2)
    assert sorted(made) == ["a", "b", "broken", "broken"]  # what failed may do better the next time
    assert most == [1]
    assert len(answers) == 8
    assert answers[0] == 1, "before it is answered, once it is made"
    whole = request("a", "daemon", deferred=False)
    assert one._get_serialized_external_repository_data(whole) == "a False"
    other: Any = Served()
    other._get_serialized_external_repository_data(whole)
    assert made.count("a") == 3


def test_a_snapshot_is_kept_packed_and_streamed_in_pieces_that_make_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._grpc import server

    text = "".join(f"é{number}€" for number in range(5000))

    class Served:
        def _get_serialized_external_repository_data(self, request: Any) -> str:
            return text

    monkeypatch.setattr(server, "DagsterApiServer", Served)
    monkeypatch.setattr(server, "STREAMING_CHUNK_SIZE", 1000)
    location_snapshots.snapshot_once(lambda: None)
    one: Any = Served()
    location = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="daemon")
    origin = serialize_value(RemoteRepositoryOrigin(location, "a"))
    args = SimpleNamespace(serialized_repository_python_origin=origin, defer_snapshots=True)
    for _ in range(2):
        pieces = list(one.StreamingExternalRepository(args, None))
        assert [piece.sequence_number for piece in pieces] == list(range(len(pieces)))
        assert {len(piece.serialized_external_repository_chunk) for piece in pieces[:-1]} == {1000}
        assert "".join(piece.serialized_external_repository_chunk for piece in pieces) == text
    assert sum(map(len, one.kept_snapshots["a", True])) < len(text)


def test_dagsters_server_snapshots_where_this_project_thinks_it_does() -> None:
    from dagster._grpc.__generated__.dagster_api_pb2 import ExternalRepositoryRequest
    from dagster._grpc.server import DagsterApiServer

    assert list(inspect.signature(DagsterApiServer._get_serialized_external_repository_data).parameters)[1:] == [
        "request"
    ]
    assert list(inspect.signature(DagsterApiServer.StreamingExternalRepository).parameters)[1:] == [
        "request",
        "_context",
    ]
    fields = {field.name for field in ExternalRepositoryRequest.DESCRIPTOR.fields}
    assert {"serialized_repository_python_origin", "defer_snapshots"} <= fields


LARGE_LOCATION = """
import dagster as dg
assets = [dg.AssetSpec(f"costs{n}", description="x" * 4_500_000) for n in range(2)]
defs = dg.Definitions(assets=assets)
"""


@pytest.fixture
def own_way_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's, once the test is over."""
    from dagster._grpc.client import DagsterGrpcClient

    monkeypatch.setattr(DagsterGrpcClient, "external_repository", DagsterGrpcClient.external_repository)


@pytest.mark.usefixtures("own_way_to_ask")
def test_a_snapshot_in_pieces_is_the_one_that_dagster_takes_at_once_and_errors_are_as_they_were(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.server import GrpcServerProcess

    (tmp_path / "large.py").write_text(LARGE_LOCATION)
    large = LoadableTargetOrigin(python_file=str(tmp_path / "large.py"), executable_path=sys.executable)
    with GrpcServerProcess(instance.get_ref(), loadable_target_origin=large, wait_on_exit=True) as server:
        client = server.create_client()
        location = GrpcServerCodeLocationOrigin("localhost", socket=server.socket, port=server.port, location_name="x")
        origins = [RemoteRepositoryOrigin(location, name) for name in ("__repository__", "absent")]
        expected = [client.external_repository(one, defer_snapshots=True) for one in origins]
        location_snapshots.snapshots_in_pieces()
        streamed, pieces = type(client)._get_streaming_response, [0]

        def counted(this: Any, method: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
            assert method == "StreamingExternalRepository"
            for piece in streamed(this, method, *args, **kwargs):
                pieces[0] += 1
                yield piece

        monkeypatch.setattr(type(client), "_get_streaming_response", counted)
        assert client.external_repository(origins[0], defer_snapshots=True) == expected[0]
        assert len(expected[0]) > 8_000_000
        assert pieces == [3]
        assert "ExternalRepositoryErrorData" in expected[1]
        assert client.external_repository(origins[1]).partition(",")[0] == expected[1].partition(",")[0]
    with pytest.raises(DagsterUserCodeUnreachableError):
        client.external_repository(origins[0])


@pytest.mark.live
@pytest.mark.filterwarnings("ignore:Error loading repository location")
def test_a_location_is_read_again_from_another_server_when_it_could_not_be_read_and_when_asked_for(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import GrpcServerTarget
    from dagster._grpc.constants import GrpcServerCommand
    from dagster._grpc.server import open_server_process

    monkeypatch.setattr(WorkspaceProcessContext, "_load_location", WorkspaceProcessContext._load_location)
    location_snapshots.kept_as_long_as_their_server()
    monkeypatch.setattr("dagster._grpc.server_watcher.WATCH_INTERVAL", 3600)  # a refresh alone is what reads here
    code = tmp_path / "code.py"

    @contextmanager
    def served(text: str) -> Iterator[None]:
        code.write_text(text)
        origin = LoadableTargetOrigin(python_file=str(code), executable_path=sys.executable)
        server = open_server_process(
            instance.get_ref(), port, None, GrpcServerCommand.API_GRPC, "x", origin, startup_timeout=60
        )
        try:
            yield
        finally:
            server.kill()
            server.wait(30)

    def read() -> Any:
        (entry,) = workspace.get_current_workspace().code_location_entries.values()
        return entry

    def assets() -> set[str]:
        (repository,) = read().code_location.get_repositories().values()
        return {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}

    port = free_port()
    a, b = (f"import dagster as dg\ndefs = dg.Definitions(assets=[dg.AssetSpec('{name}')])\n" for name in ("a", "bb"))
    monkeypatch.setattr(location_snapshots, "_SERVERS_OVERLAP_SECONDS", 0.0)
    target = GrpcServerTarget(host="localhost", port=port, socket=None, location_name="x")
    with served(a), WorkspaceProcessContext(instance, target) as workspace:
        first = read()
        assert assets() == {"a"}
        workspace.refresh_workspace()
        assert read() is first
        monkeypatch.setattr(location_snapshots, "_SERVERS_OVERLAP_SECONDS", 2.0)
        workspace.refresh_workspace()
        soon = read()
        assert soon is not first, "it may be of two servers"
        soon.code_location.met_at -= 2.0
        workspace.refresh_workspace()
        assert read() is soon, "no longer"
        workspace.reload_code_location("x")
        assert read() is not first
    with WorkspaceProcessContext(instance, target) as workspace:
        assert "DagsterUserCodeUnreachableError" in read().load_error.cls_name
        with served(a):
            workspace.refresh_workspace()
            assert assets() == {"a"}
        with served(b):
            workspace.refresh_workspace()
            assert (assets(), read().load_error) == ({"bb"}, None)
        workspace.refresh_workspace()
        assert (read().code_location, read().load_error.cls_name) == (None, "DagsterUserCodeUnreachableError")
