"""The code locations of a workspace file: where their servers are, whether they answer, and reloading them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class CodeLocation:
    """One location of a workspace file: `arguments` are those of `dagster code-server start`, None where its server
    runs elsewhere, at `socket` or `host` and `port`, over TLS where `ssl` is set."""

    name: str
    arguments: tuple[str, ...] | None = None
    host: str | None = None
    port: int | None = None
    socket: str | None = None
    ssl: bool = False

    def as_server(self) -> dict[str, Any]:
        """The entry of a workspace file for a server."""
        address = {"location_name": self.name, "host": self.host, "port": self.port, "socket": self.socket}
        ssl = {"ssl": True} if self.ssl else {}
        return {"grpc_server": {name: value for name, value in address.items() if value is not None} | ssl}

    def why_silent(self, seconds: float) -> str | None:
        """Why the server does not answer within some seconds; None where it does."""
        from dagster._core.errors import DagsterUserCodeUnreachableError

        try:
            self._client().get_server_id(timeout=max(1, round(seconds)))
        except DagsterUserCodeUnreachableError as error:
            return " ".join(str(error.__cause__ or error).split())[:300]
        return None

    def reload(self, seconds: float) -> None:
        """Reload its code; raises `DagsterUserCodeUnreachableError`."""
        self._client().reload_code(timeout=round(seconds))

    def _client(self) -> Any:
        from dagster._grpc.client import DagsterGrpcClient

        host = self.host or "localhost"
        return DagsterGrpcClient(port=self.port, socket=self.socket, host=host, use_ssl=self.ssl)


def code_locations(workspace: Path) -> list[CodeLocation]:
    """The locations of a workspace file; raises Dagster's errors for an invalid one."""
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, ManagedGrpcPythonEnvCodeLocationOrigin
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    locations = []
    for origin in WorkspaceFileTarget([str(workspace)]).create_origins():
        if isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin):
            arguments = tuple(origin.loadable_target_origin.get_cli_args())
            locations.append(CodeLocation(origin.location_name, arguments))
        elif isinstance(origin, GrpcServerCodeLocationOrigin):
            port, socket, ssl = origin.port or None, origin.socket or None, bool(origin.use_ssl)
            locations.append(CodeLocation(origin.location_name, None, origin.host, port, socket, ssl))
    return locations
