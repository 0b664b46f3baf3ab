"""A web server on this machine that misbehaves as it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["_Handler"], None]


@dataclass
class Request:
    """What a client asked for, and how much of the body it was sent."""

    path: str
    range: str | None
    sent: int = 0


@dataclass
class LocalServer:
    """Answers each request to a path with the next of its answers; the last one is given again and again."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> LocalServer:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.local = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def serve(self, path: str, *answers: Answer) -> str:
        """Give these answers at this path, which starts with a slash; return the address."""
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def ranges(self) -> list[str | None]:
        return [request.range for request in self.requests]

    def sent(self) -> int:
        return sum(request.sent for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        local = self.server.local
        self.asked = Request(self.path, self.headers.get("Range"))
        local.requests.append(self.asked)
        answers = local.answers.get(self.path, [status(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with suppress(ConnectionError):  # the client went away, which some tests want
            answer(self)

    def log_message(self, *_: object) -> None:
        pass


def content(
    data: bytes,
    *,
    ranges: bool = True,
    length: bool = True,
    cut: int | None = None,
    then: Callable[[LocalServer], object] | None = None,
    kind: str = "application/octet-stream",
) -> Answer:
    """Send `data`, or the part asked for; stop after `cut` bytes of it, call `then`, and close the line."""

    def answer(handler: _Handler) -> None:
        partial = ranges and handler.asked.range is not None
        start = int(handler.asked.range.removeprefix("bytes=").rstrip("-")) if partial else 0
        if start and start >= len(data):
            status(416)(handler)
            return
        body = data[start:]
        handler.send_response(206 if partial else 200)
        handler.send_header("Content-Type", kind)
        if length:
            handler.send_header("Content-Length", str(len(body)))
        if partial:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        body = body if cut is None else body[:cut]
        handler.asked.sent = len(body)
        handler.wfile.write(body)
        handler.wfile.flush()
        if then:
            then(handler.server.local)

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def redirect(to: str) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def silence(handler: _Handler) -> None:
    """Take the request and never answer it."""
    handler.server.local.closing.wait()


def reset(handler: _Handler) -> None:
    """Break the connection off without an answer."""
    handler.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.request.close()
    raise ConnectionAbortedError


def dead_address(path: str = "/file.bin") -> str:
    """Return an address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}{path}"
