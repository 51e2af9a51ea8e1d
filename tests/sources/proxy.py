"""A TCP proxy on the way to the real API server, for what a network does: falling silent without a word, being slow.

A frozen proxy still accepts and reads, as a firewall that drops packets leaves both ends believing in the connection.
What was held back goes on its way when it heals, as retransmitted packets would.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path


class Proxy:
    def __init__(self, upstream: str) -> None:
        url = urlsplit(upstream)
        self._upstream = (url.hostname, url.port)
        self._flows = threading.Event()
        self._flows.set()
        self._closing = False
        self._sockets: list[socket.socket] = []
        self._pause = 0.0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def kubeconfig(self, original: Path, path: Path) -> str:
        """Write a copy of `original` whose server is this proxy."""
        content = json.loads(original.read_text())
        content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        path.write_text(json.dumps(content))
        path.chmod(0o600)
        return str(path)

    def freeze(self) -> None:
        self._flows.clear()

    def heal(self) -> None:
        self._flows.set()

    def slow_down(self, seconds_per_chunk: float) -> None:
        """Let 4 KiB through at a time."""
        self._pause = seconds_per_chunk

    def close(self) -> None:
        self._closing = True
        self._flows.set()
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._upstream)
            except ConnectionRefusedError:
                client.close()
                continue
            except OSError:
                return
            self._sockets += [client, server]
            for here, there in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(here, there), daemon=True).start()

    def _forward(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(4096):
                self._flows.wait()
                if self._pause:
                    time.sleep(self._pause)
                there.sendall(data)
        self._flows.wait()  # the end of a connection is a packet as well
        with contextlib.suppress(OSError):
            there.shutdown(socket.SHUT_WR)
