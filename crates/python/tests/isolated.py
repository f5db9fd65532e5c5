"""Runs the programs of a folder on real servers at the addresses that they name: localhost, 6379 and 27017.

    unshare --user --map-root-user --net python isolated.py FOLDER

The network namespace keeps those ports apart from whatever the machine has there. What each program printed goes to
standard output as JSON."""

from __future__ import annotations

import concurrent.futures
import fcntl
import json
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

from servers import started_mongod, started_redis

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# Example 5 takes 70 seconds.
LIMIT = 180
# After the first example, seven more documents make ten.
ON_TO_TEN = """
import example_1
from dictrack.data_caches.redis import RedisDataCache
from dictrack.data_stores.mongodb import MongoDBDataStore
from dictrack.manager import TrackingManager

manager = TrackingManager(
    data_cache=RedisDataCache(host="localhost", port=6379, db=0),
    data_store=MongoDBDataStore(host="localhost", port=27017, database="user_tracking"),
)
example_1.setup_event_handlers(manager)
for at in range(7):
    manager.track(group_id="user_001", data={"user_id": "user_001", "event_type": "share"})
"""


def loopback_up() -> None:
    """Turns the loopback device of this namespace on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        if not flags & IFF_UP:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def run(command: list[str], folder: pathlib.Path) -> dict[str, object]:
    """The output of a program, and how it ended."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    loopback_up()
    with (
        tempfile.TemporaryDirectory() as place,
        started_redis(place, port=6379),
        started_mongod(place, port=27017),
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        names = sorted(path.stem for path in folder.glob("example_*.py"))
        running = {name: pool.submit(run, [sys.executable, f"{name}.py"], folder) for name in names}
        results = {name: done.result() for name, done in running.items()}
        results["on_to_ten"] = run([sys.executable, "-c", ON_TO_TEN], folder)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
