"""Caches and stores as Python objects, on real servers: every pair of them, logins, TLS, a cluster, owners."""

from __future__ import annotations

import itertools
import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pymongo
import pytest
import redis
from conftest import Servers, wait_until
from servers import free_port

import dictrack as dt

CACHES, STORES = ["memory", "redis"], ["none", "sqlite", "mongodb"]
PASSWORD = "p@ss/w:rd?&%"
Opens = Callable[..., dt.TrackingManager]


@pytest.fixture(params=itertools.product(CACHES, STORES), ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[str, str, Opens]:
    """A cache, a store, and a function that opens a manager with them."""
    cache, store = request.param
    redis_url = request.getfixturevalue("redis_url") if cache == "redis" else None
    mongodb_url = request.getfixturevalue("mongodb_url") if store == "mongodb" else None

    def opens(**options: Any) -> dt.TrackingManager:
        data_cache = dt.MemoryDataCache() if redis_url is None else dt.RedisDataCache(url=redis_url)
        data_store: dt.data_stores.base.BaseDataStore | None = None
        if store != "none":
            data_store = (
                dt.SQLiteDataStore(tmp_path / "pair.db")
                if mongodb_url is None
                else dt.MongoDBDataStore(url=mongodb_url)
            )
        return dt.TrackingManager(data_cache, data_store, **options)

    return cache, store, opens


def trackers() -> list[dt.BaseTracker]:
    return [
        dt.CountTracker("orders", [dt.KeyValueEQ("status", "paid")], target=[2, 10], limiters=[dt.CountLimiter(5)]),
        dt.AccumulationTracker("revenue", [dt.KeyValueEQ("status", "paid")], target=1000),
        dt.CountTracker("welcome", target=1),
    ]


@pytest.mark.parametrize("durability", [None, "fsync", "interval(50ms)"])
def test_every_cache_works_with_every_store(pair: tuple[str, str, Opens], durability: str | None) -> None:
    cache, store, opens = pair
    heard: list[str] = []
    with opens(durability=durability) as manager:
        for code in dt.EVENT_ALL:
            manager.add_listener(code, lambda event: heard.append(f"{event.name} {event.code}"))
        live = trackers()
        added = manager.add_trackers("user_001", live)
        assert added.added == ["orders", "revenue", "welcome"]
        for amount, event_id in [(150.00, "a"), (75.50, "b"), (75.50, "b"), (320.00, "c")]:
            outcome = manager.track("user_001", {"status": "paid", "amount": amount}, event_id=event_id)
            assert outcome.is_ok
            assert outcome.duplicate == (event_id == "b" and live[1].progress == 225.5 and not outcome.dirtied)
        assert [tracker.progress for tracker in live] == [3, 545.5, 1]
        assert (live[0].current_stage, live[2].completed) == (2, True)
        assert live[0].limiters[0].remaining == 4
        assert heard == ["orders 1001", "revenue 1001", "welcome 1001", "welcome 1003", "orders 1002"]
        for other in range(20):
            assert manager.add_tracker(f"user_{other}", dt.CountTracker("all", target=9))
        many = manager.track_many([(f"user_{other % 20}", {}) for other in range(100)])
        assert sum(len(one.dirtied) for one in many if isinstance(one, dt.Outcome)) == 100
    if (cache, store) == ("memory", "none"):
        return
    with opens(durability=durability) as manager:
        assert manager.track("user_001", {"status": "paid", "amount": 1}, event_id="a").duplicate
        orders, revenue = manager.get_trackers("user_001")
        assert (orders.progress, orders.current_stage, revenue.progress) == (3, 2, 545.5)
        (welcome,) = manager.completed("user_001")
        assert (welcome.name, welcome.completed) == ("welcome", True)
        assert manager.ensure_trackers("user_001", trackers()).existing == ["orders", "revenue"]
        assert {manager.get_trackers(f"user_{other}")[0].progress for other in range(20)} == {5}
        manager.flush(confirm=True)
        assert (manager.get_trackers("user_001"), manager.completed("user_001")) == ([], [])


def test_what_is_closed_can_be_opened_again_while_the_closed_manager_is_still_held(
    pair: tuple[str, str, Opens],
) -> None:
    cache, store, opens = pair
    managers = []
    for progress in range(1, 4):
        managers.append(opens())
        managers[-1].add_listener(dt.EVENT_TRACKER_ADDED, lambda event: managers[0])
        managers[-1].ensure_trackers("g", [dt.CountTracker("all", target=9)])
        managers[-1].track("g", {})
        is_kept = (cache, store) != ("memory", "none")
        assert managers[-1].get_trackers("g")[0].progress == (progress if is_kept else 1)
        managers[-1].close()


def test_servers_end_with_the_tests_also_when_those_are_killed(tmp_path: pathlib.Path) -> None:
    lines = ["import sys, servers", "with servers.started_redis(sys.argv[1]) as port:", "    print(port, flush=True)"]
    source = "\n".join([*lines, "    input()"])
    here, pipe = pathlib.Path(__file__).parent, subprocess.PIPE
    command = [sys.executable, "-c", source, str(tmp_path)]
    with subprocess.Popen(command, cwd=here, stdin=pipe, stdout=pipe, text=True) as tests:
        assert tests.stdout is not None
        with redis.Redis(port=int(tests.stdout.readline())) as client:
            assert client.ping()
            tests.kill()

            def is_gone() -> bool:
                try:
                    return not client.ping()
                except redis.ConnectionError:
                    return True

            wait_until(is_gone, "the server ends")


@pytest.fixture(scope="module")
def guarded_redis(servers: Servers) -> dict[str, Any]:
    """The redis-py keywords for a Redis server that requires a login."""
    port = servers.redis("--requirepass", "administrator")
    with redis.Redis(port=port, password="administrator") as client:
        client.acl_setuser(
            "shop", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], channels=["*"], commands=["+@all"]
        )
    return {"host": "127.0.0.1", "port": port, "username": "shop", "password": PASSWORD}


@pytest.fixture(scope="module")
def guarded_mongodb(servers: Servers) -> dict[str, Any]:
    """The pymongo keywords for a MongoDB server that requires a login."""
    port = servers.mongod("--auth")
    users: list[tuple[str, str, Any]] = [("administrator", "administrator", "root")]
    users.append(("shop", PASSWORD, {"role": "readWrite", "db": "shop"}))
    for login, (user, password, role) in zip(["", "administrator:administrator@"], users):
        admin: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(f"mongodb://{login}127.0.0.1:{port}")
        with admin:
            admin.admin.command("createUser", user, pwd=password, roles=[role])
    return {"host": "127.0.0.1", "port": port, "username": "shop", "password": PASSWORD, "authSource": "admin"}


def counts(manager: dt.TrackingManager) -> None:
    with manager:
        manager.ensure_trackers("g", [dt.CountTracker("all", target=99)])
        assert manager.track("g", {}).dirtied


def test_redis_is_found_by_keywords_client_and_pool_and_logged_into(guarded_redis: dict[str, Any]) -> None:
    client: Any = redis.Redis(**guarded_redis, db=3)
    for at, made in enumerate([
        dt.RedisDataCache(**guarded_redis, db=3, prefix="by0", socket_timeout=5, decode_responses=True),
        dt.RedisDataCache(client=client, prefix="by1"),
        dt.RedisDataCache(pool=client.connection_pool, prefix="by2"),
        dt.RedisDataCache(client=redis.asyncio.Redis(**guarded_redis, db=3), prefix="by3"),
    ]):  # fmt: skip
        assert list(client.scan_iter(f"by{at}:*")) == []
        counts(dt.TrackingManager(made))
        assert list(client.scan_iter(f"by{at}:*g:g"))
        assert "ss/w" not in repr(made) + str(made)
    client.close()


def test_mongodb_is_found_by_keywords_and_client_and_logged_into(guarded_mongodb: dict[str, Any]) -> None:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(**guarded_mongodb)
    with client:
        for at, made in enumerate([
            dt.MongoDBDataStore(**guarded_mongodb, database="shop", collection="by0", tz_aware=True, appname="shop"),
            dt.MongoDBDataStore(client=client, database="shop", collection="by1"),
        ]):  # fmt: skip
            counts(dt.TrackingManager(data_store=made))
            assert client.shop[f"by{at}"].find_one({"_id": "g"})
            assert "ss/w" not in repr(made) + str(made)


def test_a_refused_login_names_the_server_and_no_password(
    guarded_redis: dict[str, Any], guarded_mongodb: dict[str, Any]
) -> None:
    for keywords in [guarded_redis | {"password": "wr0ng"}, guarded_redis | {"username": None, "password": None}]:
        with pytest.raises(dt.RedisOperationError) as raised:
            dt.TrackingManager(dt.RedisDataCache(**keywords))
        message = str(raised.value)
        assert message.startswith(f"Redis could not connect at redis://127.0.0.1:{guarded_redis['port']}/0: ")
        assert "WRONGPASS" in message or "NOAUTH" in message
        assert "wr0ng" not in message
    with pytest.raises(dt.DataStoreOperationError) as refused:
        dt.TrackingManager(data_store=dt.MongoDBDataStore(**guarded_mongodb | {"password": "wr0ng"}, database="shop"))
    message = str(refused.value)
    assert message.startswith("MongoDB could not ")
    assert "uthentication failed" in message
    assert "wr0ng" not in message
    # The repr of the driver is not useful.
    assert "labels: {" not in message


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with a certificate for localhost, that of its authority, and that of another authority."""
    home = tmp_path_factory.mktemp("authority")
    leaf = "-CA authority.pem -CAkey authority.key -addext basicConstraints=critical,CA:FALSE"
    for name, more in [("authority", ""), ("other", ""), ("server", f"{leaf} -addext subjectAltName=DNS:localhost")]:
        key = f"-newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem"
        command = f"openssl req -x509 {key} -days 2 -subj /CN={name} {more}"
        subprocess.run(command.split(), cwd=home, check=True, capture_output=True)
    return home


def test_tls_keywords_are_followed_and_certificates_are_checked(servers: Servers, authority: pathlib.Path) -> None:
    port, ca = free_port(), str(authority / "authority.pem")
    files = ["--tls-cert-file", str(authority / "server.pem"), "--tls-key-file", str(authority / "server.key")]
    files += ["--tls-ca-cert-file", ca]
    servers.redis("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", *files, port=port)
    where: dict[str, Any] = {"host": "localhost", "port": port, "ssl": True}
    with redis.Redis(**where, ssl_ca_certs=ca) as client:
        assert client.ping()
        for made in (dt.RedisDataCache(**where, ssl_ca_certs=ca), dt.RedisDataCache(client=client)):
            counts(dt.TrackingManager(made))
        assert client.dbsize()
    with pytest.raises(dt.DataStoreOperationError, match=f"at rediss://localhost:{port}/0: .*certificate"):
        dt.TrackingManager(dt.RedisDataCache(**where, ssl_ca_certs=str(authority / "other.pem")))
    with pytest.raises(dt.DataStoreOperationError, match="certificate file cannot be read.*/none.pem"):
        dt.TrackingManager(dt.RedisDataCache(**where, ssl_ca_certs=str(authority / "none.pem")))


def test_a_client_of_a_cluster_is_followed(servers: Servers) -> None:
    port = servers.redis("--cluster-enabled", "yes")
    with redis.Redis(port=port) as node:
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.cluster("INFO")["cluster_state"] == "ok", "the cluster is up")
    client: Any = redis.RedisCluster("127.0.0.1", port)  # type: ignore[abstract]
    cache = dt.RedisDataCache(client=client)
    assert repr(cache) == f"<RedisDataCache redis-cluster://127.0.0.1:{port}>"
    counts(dt.TrackingManager(cache))
    assert client.dbsize()
    client.close()


@pytest.mark.parametrize("store", ["sqlite", "mongodb"])
def test_a_store_has_one_writer_whom_the_error_names(
    store: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "owned.db") if store == "sqlite" else request.getfixturevalue("mongodb_url")
    other = "import sys, dictrack as dt; dt.TrackingManager.open(sys.argv[1])"
    with dt.TrackingManager.open(place) as manager:
        manager.add_tracker("g", dt.CountTracker("all", target=9))
        with pytest.raises(dt.OwnedError) as raised:
            dt.TrackingManager.open(place)
        assert (raised.value.pid, raised.value.host) == (str(os.getpid()), os.uname().nodename)
        assert (
            f"is in use by process {os.getpid()} on {os.uname().nodename}, and a store can have only one writer"
            in str(raised.value)
        )
        assert raised.value.store is not None
        refused = subprocess.run([sys.executable, "-c", other, place], capture_output=True, text=True)
        assert refused.returncode == 1
        assert f"OwnedError: {raised.value}" in refused.stderr
        # The first one continues.
        assert manager.track("g", {}).dirtied


def test_processes_share_a_store_behind_one_redis(redis_url: str, mongodb_url: str) -> None:
    first = dt.TrackingManager(dt.RedisDataCache(url=redis_url), dt.MongoDBDataStore(url=mongodb_url))
    second = dt.TrackingManager.open(mongodb_url, cache=redis_url)
    tracker = dt.CountTracker("all", target=99)
    with first, second:
        first.add_tracker("g", tracker)
        for event_id in (uuid.uuid4().hex for _ in range(10)):
            assert not first.track("g", {}, event_id=event_id).duplicate
            assert second.track("g", {}, event_id=event_id).duplicate
            second.track("g", {})
        assert tracker.progress == 20
