"""A receiver of alerts: a web server on this machine that keeps what is posted to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """``answer``: the status of the next answers; ``wait``: keeps them back until it is set."""

    url: str = ""
    answer: int = 200
    posts: list[dict[str, Any]] = field(default_factory=list)
    wait: threading.Event = field(default_factory=threading.Event)

    def kinds(self) -> list[tuple[str, str]]:
        """Kind and objective of all alerts that came, in order."""
        return [(a["kind"], a["objective"]) for post in self.posts for a in post["alerts"]]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that answers at once."""
    receiver = Receiver()
    receiver.wait.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.wait.wait(20)
            if receiver.answer == 200:
                receiver.posts.append(json.loads(text))
            self.send_response(receiver.answer)
            if receiver.answer in (301, 302, 307):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/alerts"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.wait.set()
        server.shutdown()
        thread.join()
        server.server_close()
