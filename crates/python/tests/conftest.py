"""Shared by the tests: servers, and programs that run in separate processes.

``DICTRACK_TEST_REDIS_URL`` and ``DICTRACK_TEST_MONGODB_URL`` name servers to use instead of those that are started,
``DICTRACK_TEST_REDIS_SERVER`` and ``DICTRACK_TEST_MONGOD`` other binaries. A test whose server is missing fails.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from servers import started_mongod, started_redis

Run = Callable[..., str]


def wait_until(holds: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Waits until something holds. Fails with its name if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.005)


class Servers:
    """Starts servers that run until the tests end."""

    def __init__(self, home: pathlib.Path, running: contextlib.ExitStack) -> None:
        self.home = home
        self.running = running

    def redis(self, *options: str, port: int = 0) -> int:
        """Starts Redis. Returns its port."""
        return self.running.enter_context(started_redis(self.home, *options, port=port))

    def mongod(self, *options: str) -> int:
        """Starts MongoDB. Returns its port."""
        return self.running.enter_context(started_mongod(self.home, "--wiredTigerCacheSizeGB", "0.25", *options))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts servers."""
    with contextlib.ExitStack() as running:
        yield Servers(tmp_path_factory.mktemp("servers"), running)


@pytest.fixture(scope="session")
def redis_server(servers: Servers) -> str:
    """The URL of a Redis server."""
    return os.environ.get("DICTRACK_TEST_REDIS_URL") or f"redis://127.0.0.1:{servers.redis()}"


@pytest.fixture(scope="session")
def mongodb_server(servers: Servers) -> str:
    """The URL of a MongoDB server."""
    return os.environ.get("DICTRACK_TEST_MONGODB_URL") or f"mongodb://127.0.0.1:{servers.mongod()}"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a Redis cache that no other test uses."""
    return f"{redis_server}{'&' if '?' in redis_server else '?'}prefix=test-{uuid.uuid4().hex}"


@pytest.fixture
def mongodb_url(mongodb_server: str) -> Iterator[str]:
    """The URL of a MongoDB store that no other test uses."""
    parts = mongodb_server.split("?", 1)
    database = f"test-{uuid.uuid4().hex}"
    yield "?".join([f"{parts[0].rstrip('/')}/{database}", *parts[1:]])
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongodb_server)
    with client:
        client.drop_database(database)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    """Runs a program in a separate process and returns what it printed. If it hangs or fails, so does the test."""

    def run_program(source: str, *arguments: str | os.PathLike[str], timeout: float = 60, code: int = 0) -> str:
        path = tmp_path / f"program_{uuid.uuid4().hex}.py"
        path.write_text(textwrap.dedent(source))
        python = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-X", "faulthandler"]
        # In its own session, so that processes it forked end with it.
        process = subprocess.Popen(
            [*python, str(path), *(os.fspath(argument) for argument in arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
        )
        try:
            printed, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # With the stack of every thread.
            os.killpg(process.pid, signal.SIGABRT)
            printed, errors = process.communicate()
            raise AssertionError(f"hung for {timeout} s\n{printed}\n{errors}") from None
        assert process.returncode == code, f"ended with {process.returncode}\n{printed}\n{errors}"
        return str(printed)

    return run_program
