"""Calls of GoogleSQL's local service inside WebAssembly: one instance a process, one call at a time."""

import atexit
import ctypes
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convergence_assets.warehouse.googlesql import module

if TYPE_CHECKING:
    from google.protobuf.message import Message

    M = TypeVar("M", bound=Message)

CALL_WITHIN_SECONDS = 30.0
"""A statement takes a tenth of a second; one that is made to take for ever ends here."""
_STATUS = re.compile(r"Code: (\d+), Message: (.*)", re.DOTALL)
_PLACE = re.compile(r"\s*\[at (\d+):(\d+)\]\s*$")


class Refused(Exception):
    """GoogleSQL's own words on a statement, and where; both 1-based, 0 where it names no place.

    `code` is absl's: 3 is a mistake in the statement, 11 a value out of range, 12 something not implemented.
    """

    def __init__(self, code: int, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.code, self.message, self.line, self.column = code, message, line, column


class Failed(Exception):
    """The analyzer itself broke down at this statement; the next one gets a new instance."""


class _Instance:
    def __init__(self) -> None:
        import wasmtime

        _allow_deep_answers()
        self.engine = module.engine()
        compiled = module.loaded(self.engine)
        self.store = wasmtime.Store(self.engine)
        self.store.set_epoch_deadline(1)
        wasi = wasmtime.WasiConfig()
        wasi.preopen_dir(str(_zones()), "/usr/share/zoneinfo")
        self.store.set_wasi(wasi)
        linker = wasmtime.Linker(self.engine)
        linker.define_wasi()
        exports: Any = linker.instantiate(self.store, compiled).exports(self.store)
        self.exports = exports
        if "_initialize" in exports:
            exports["_initialize"](self.store)
        self.memory = exports["memory"]
        self._catalog: int | None = None

    def catalog_of(self, functions: Callable[[], Any]) -> int:
        from zetasql.wasi._pb2.zetasql.local_service.local_service_pb2 import RegisterResponse

        if self._catalog is None:
            answer = RegisterResponse.FromString(self.call("RegisterCatalog", functions().SerializeToString()))
            self._catalog = int(answer.registered_id)
        return self._catalog

    def call(self, method: str, request: bytes) -> bytes:
        ends = threading.Timer(CALL_WITHIN_SECONDS, self.engine.increment_epoch)
        ends.daemon = True
        ends.start()
        try:
            return self._called(method, request)
        finally:
            ends.cancel()

    def _called(self, method: str, request: bytes) -> bytes:
        length = self._allocated(b"\0\0\0\0")
        request_address = self._allocated(request)
        try:
            answer = self.exports[f"ZetaSqlLocalService_{method}"](self.store, request_address, len(request), length)
            if not answer:
                raise _refused(self._last_error())
            size = int.from_bytes(self._read(length, 4), "little")
            content = self._read(answer, size)
            self.exports["wasm_free"](self.store, answer)
            return content
        finally:
            self.exports["wasm_free"](self.store, request_address)
            self.exports["wasm_free"](self.store, length)

    def _allocated(self, content: bytes) -> int:
        place: int = self.exports["wasm_malloc"](self.store, max(len(content), 1))
        if not place:
            raise MemoryError("no memory left in GoogleSQL's instance")
        ctypes.memmove(self._address(place), content, len(content))
        return place

    def _read(self, place: int, size: int) -> bytes:
        return ctypes.string_at(self._address(place), size)

    def _address(self, place: int) -> int:
        # A shared memory has no read() and write() in wasmtime 50.
        return ctypes.addressof(self.memory.data_ptr().contents) + place

    def _last_error(self) -> str:
        size = self.exports["wasm_get_last_error_size"](self.store)
        return self._read(self.exports["wasm_get_last_error"](self.store), size).decode() if size else ""


_lock = threading.Lock()
_instances: list[_Instance] = []
"""At most one: two threads in one instance abort the process."""
_started_in: list[int] = []
"""The process with wasmtime's threads; one forked from it has none, and a new instance there never answers."""

# A forked process goes on with a copy of the instance, which no call may be in.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
atexit.register(_instances.clear)  # at the interpreter's end wasmtime has nothing left to free itself with


def call(method: str, request: Any, answer: "type[M]", functions: Callable[[], Any] | None = None) -> "M":
    """Raises `Refused` with GoogleSQL's words, `Failed` where it broke down, `AnalyzerMissing` where there is none.

    `functions` makes the request for a catalog without tables, which is registered once per instance: a request with
    a catalog of its own costs 20 ms.
    """
    import wasmtime
    from google.protobuf.message import DecodeError

    with _lock:
        while True:
            used = bool(_instances)
            if not used:
                _instances.append(_new_instance())
            try:
                if functions is not None:
                    request.registered_catalog_id = _instances[0].catalog_of(functions)
                content = _instances[0].call(method, request.SerializeToString())
                break
            except (wasmtime.Trap, wasmtime.WasmtimeError, MemoryError) as error:
                _instances.clear()
                reason = _reason(error)
                # An earlier statement may have left no memory for this one, but it cannot have taken its time.
                if not used or "interrupt" in reason:
                    raise Failed(reason) from None
    try:
        message: M = answer.FromString(content)
    except DecodeError:
        raise Failed("its answer cannot be read: the statement nests too deeply") from None
    return message


def _new_instance() -> _Instance:
    if _started_in and _started_in[0] != os.getpid():
        raise module.AnalyzerMissing("this process was forked from one that had used it; start a new process")
    _started_in[:] = [os.getpid()]
    return _Instance()


def _reason(error: Exception) -> str:
    """The line of a trap with its reason: `wasm trap: call stack exhausted` below the stack's addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "wasm trap:" in line), lines[0] if lines else type(error).__name__)
    return reason.partition("wasm trap: ")[2] or reason


def _allow_deep_answers() -> None:
    # Protocol buffers read messages 100 deep by default; twenty nested subqueries are deeper.
    with suppress(ImportError, AttributeError):
        from google._upb import _message

        _message.SetAllowOversizeProtos(True)


def _refused(text: str) -> Refused:
    match = _STATUS.fullmatch(text)
    code, message = (int(match[1]), match[2]) if match else (2, text)
    place = _PLACE.search(message)
    if place is None:
        return Refused(code, _in_one_line(message))
    return Refused(code, _in_one_line(message[: place.start()]), int(place[1]), int(place[2]))


def _in_one_line(message: str) -> str:
    """Without the signatures that a call does not match, a line each."""
    first, *rest = (line.strip() for line in message.splitlines())
    argument_types = next((line for line in rest if line.startswith("Argument types:")), None)
    return (
        f"{first} for {argument_types[0].lower()}{argument_types[1:]}" if argument_types else " ".join([first, *rest])
    )


def _zones() -> Path:
    import tzdata

    return Path(tzdata.__file__).with_name("zoneinfo")
