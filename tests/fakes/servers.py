"""Servers that tests start, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["LocalServer", "ended"]


class LocalServer:
    """Base class of a fake of a service: an HTTP server of this process, whose requests `answer` handles."""

    def serve(self, *methods: str) -> None:
        """Starts the server; requests with other methods are refused."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        def handled(handler: BaseHTTPRequestHandler) -> None:
            self.answer(handler)

        for method in methods:
            setattr(Handler, f"do_{method}", handled)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


def ended(server: subprocess.Popen[Any]) -> None:
    """Ends a server that leads a session, and all that it started: children may ignore the first signal."""
    for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
