"""A gRPC server for Google's real clients: methods by path, real messages, faults on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc

__all__ = ["Fault", "GrpcServer", "Refused"]


class Refused(Exception):
    """An answer with a status other than OK."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass
class Fault:
    """What happens to the next calls of a method: after its effect, where `after` says so."""

    code: grpc.StatusCode
    times: int = 1
    after: bool = False
    text: str = "injected"


class GrpcServer:
    """The server; a `with` block ends it."""

    def __init__(self) -> None:
        self._methods: dict[str, grpc.RpcMethodHandler] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.lock = threading.RLock()
        self._server = grpc.server(ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((_Handler(self._methods),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"127.0.0.1:{port}"
        self._server.start()

    def __enter__(self) -> GrpcServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server."""
        self._server.stop(0).wait()

    def add(self, path: str, request: Any, answer: Any, act: Callable[[Any], Any]) -> None:
        """A method.

        Args:
            path: `/package.Service/Method`.
            request: Class of the request, of proto-plus or plain.
            answer: Class of the answer.
            act: From request to answer; runs with the lock held.
        """
        read = getattr(request, "deserialize", None) or request.FromString
        write = getattr(answer, "serialize", None) or answer.SerializeToString
        name = path.rpartition("/")[2]

        def serve(message: Any, context: grpc.ServicerContext) -> Any:
            with self.lock:
                self.calls.append((name, message))
                fault = self._fault(name)
                if fault is not None and not fault.after:
                    context.abort(fault.code, fault.text)
                try:
                    found = act(message)
                except Refused as refused:
                    context.abort(refused.code, refused.text)
            if fault is not None:
                context.abort(fault.code, fault.text)
            return found

        self._methods[path] = grpc.unary_unary_rpc_method_handler(serve, read, write)

    def fail(self, name: str, code: grpc.StatusCode, **how: Any) -> None:
        """Lets the next calls of a method fail."""
        self.faults.setdefault(name, []).append(Fault(code, **how))

    def count(self, name: str) -> int:
        """How many calls of a method came."""
        return sum(1 for called, _ in self.calls if called == name)

    def _fault(self, name: str) -> Fault | None:
        waiting = self.faults.get(name, [])
        if not waiting:
            return None
        waiting[0].times -= 1
        return waiting.pop(0) if waiting[0].times <= 0 else waiting[0]


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, methods: dict[str, grpc.RpcMethodHandler]) -> None:
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._methods.get(handler_call_details.method)
