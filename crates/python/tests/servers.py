"""Real servers for tests. They end with the process that started them, even if it is killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Everything that a test waits for takes less, even on a busy machine.
PATIENCE = 60.0


def free_port() -> int:
    """A free port.

    Below those that the system hands out to clients, one of which might take it in the meantime; and a node of a cluster
    also needs the port 10,000 above.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def mongod_program() -> str:
    """The MongoDB server."""
    return os.environ.get("DICTRACK_TEST_MONGOD") or str(ROOT / ".servers/mongod")


def redis_program() -> str:
    """The Redis server."""
    return os.environ.get("DICTRACK_TEST_REDIS_SERVER") or shutil.which("redis-server") or "redis-server"


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Waits until a server answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"{server.args!r} ended with {server.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{server.args!r} does not answer")


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[int]:
    """Runs a server that listens on a port."""
    # A server that already listens there must not be written to.
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        raise RuntimeError(f"port {port} is in use")
    server = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, server)
        yield port
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def started_redis(place: str | os.PathLike[str], *options: str, port: int = 0) -> Iterator[int]:
    """Starts a Redis server with its files in `place`. Returns its port."""
    port = port or free_port()
    command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", os.fspath(place), "--save", ""]
    with started([*command, *options], port) as started_port:
        yield started_port


@contextlib.contextmanager
def started_mongod(place: str | os.PathLike[str], *options: str, port: int = 0) -> Iterator[int]:
    """Starts a MongoDB server with its files in `place`. Returns its port."""
    port = port or free_port()
    files = pathlib.Path(place, f"mongod-{port}")
    files.mkdir()
    command = [mongod_program(), "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", str(files), "--quiet"]
    with started([*command, *options], port) as started_port:
        yield started_port
