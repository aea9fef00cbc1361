"""On PYTHONPATH of every test process: only this machine can be reached."""

import socket

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")

_connect = socket.socket.connect


def _connect_here(self: socket.socket, address: object) -> None:
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host not in (*LOCAL, socket.gethostname()):
        raise OSError(f"Tests have no network: {address} must not be reached.")
    _connect(self, address)  # type: ignore[arg-type]


socket.socket.connect = _connect_here  # type: ignore[method-assign, assignment]
