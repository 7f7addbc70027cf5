"""Receivers of alerts on this machine: a web server, and a mail server that takes anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
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

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.url = f"http://127.0.0.1:{port}/alerts"
        try:
            yield receiver
        finally:
            receiver.wait.set()


@contextmanager
def taking_mail() -> Iterator[tuple[str, list[str]]]:
    """The address of a mail server, and the messages that came (RFC 5321, as far as needed)."""
    messages: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline():
                word = line.decode().split()[0].upper()
                if word == "DATA":
                    self.say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    messages.append(b"".join(lines).decode())
                self.say("221 bye" if word == "QUIT" else "250 ok")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with serving(ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"smtp://127.0.0.1:{port}", messages


@contextmanager
def serving(server: ThreadingTCPServer) -> Iterator[int]:
    """A server at work in a thread; its port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
