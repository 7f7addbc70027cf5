"""A way to the server that can break so that only one end of it notices."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes bytes between programs that connect to ``port`` and a server."""

    def __init__(self, listener: socket.socket, server_port: int) -> None:
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._server_port = server_port
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection for its program; the server is left to wait for the next word."""
        clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        for end in (*self._clients, *self._servers):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._clients.append(client)
                self._servers.append(server)
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, also_end: bool) -> None:
    """``also_end``: whether the target sees that the source closed the connection."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    # Also after a reset, which a server sends that ends with words of its program unread.
    if also_end:
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(server_port: int) -> Iterator[Proxy]:
    """A proxy to a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener, server_port)
        try:
            yield proxy
        finally:
            proxy.close()
