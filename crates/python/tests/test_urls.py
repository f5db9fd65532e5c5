"""Clients, pools and keywords of redis-py and pymongo become URLs or are rejected by name; no password is shown."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from typing import Any

import pymongo
import pytest
from conftest import Run

import dictrack as dt

# Parts of it have no types.
redis: Any = importlib.import_module("redis")
SECRET = "s3cr@t/:?&%"
QUOTED = "s3cr%40t%2F%3A%3F%26%25"


def redis_url(**keywords: Any) -> Any:
    return dt.RedisDataCache(**keywords)._options()["redis"]


def mongodb_url(**keywords: Any) -> Any:
    return dt.MongoDBDataStore(**keywords)._options()["mongodb"][0]


REDIS: list[tuple[dict[str, Any], str]] = [
    ({}, "redis://localhost:6379/0"),
    ({"host": "h", "port": 1, "db": 2}, "redis://h:1/2"),
    ({"host": "::1"}, "redis://[::1]:6379/0"),
    ({"host": "h", "password": SECRET}, f"redis://:{QUOTED}@h:6379/0"),
    ({"host": "h", "username": "a@b", "password": SECRET}, f"redis://a%40b:{QUOTED}@h:6379/0"),
    ({"host": "h", "ssl": True, "ssl_ca_certs": "/ca.pem"}, "rediss://h:6379/0?ca=/ca.pem"),
    ({"host": "h", "ssl": False, "ssl_ca_certs": "/ca.pem"}, "redis://h:6379/0"),
    ({"host": "h", "ssl": True, "ssl_cert_reqs": "required"}, "rediss://h:6379/0"),
    ({"host": "h", "prefix": "shop", "data_expire": 60}, "redis://h:6379/0?prefix=shop&idle=60s"),
    ({"host": "h", "socket_timeout": 5, "decode_responses": True, "max_connections": 9}, "redis://h:6379/0"),
    ({"url": "redis://h/1"}, "redis://h/1"),
    ({"url": "redis://h/1", "prefix": "shop"}, "redis://h/1?prefix=shop"),
    ({"url": "redis://h?idle=1h", "prefix": "shop"}, "redis://h?idle=1h&prefix=shop"),
    ({"client": redis.Redis("h", 1, 2, SECRET)}, f"redis://:{QUOTED}@h:1/2"),
    (
        {"client": redis.Redis("h", ssl=True, ssl_ca_certs="/ca.pem"), "prefix": "p"},
        "rediss://h:6379/0?prefix=p&ca=/ca.pem",
    ),
    ({"client": redis.StrictRedis.from_url(f"redis://u:{QUOTED}@h:1/2")}, f"redis://u:{QUOTED}@h:1/2"),
    ({"pool": redis.ConnectionPool(host="h", port=1)}, "redis://h:1/0"),
    ({"pool": redis.BlockingConnectionPool.from_url("rediss://h/3")}, "rediss://h:6379/3"),
    ({"client": redis.Redis("other"), "pool": redis.ConnectionPool(host="h")}, "redis://h:6379/0"),
]


@pytest.mark.parametrize(("keywords", "url"), REDIS, ids=[url for _, url in REDIS])
def test_redis_is_said_by_a_url(keywords: dict[str, Any], url: str) -> None:
    assert redis_url(**keywords) == url


MONGODB: list[tuple[dict[str, Any], str]] = [
    ({}, "mongodb://localhost:27017/"),
    ({"host": "h", "port": 1}, "mongodb://h:1/"),
    ({"host": ["a", "b:2"], "port": 1, "replicaSet": "rs"}, "mongodb://a:1,b:2/?replicaSet=rs"),
    (
        {"host": "h", "username": "u", "password": SECRET, "authSource": "db"},
        f"mongodb://u:{QUOTED}@h:27017/?authSource=db",
    ),
    ({"host": "h", "tls": True, "tlsCAFile": "/ca.pem"}, "mongodb://h:27017/?tls=true&tlsCAFile=%2Fca.pem"),
    ({"host": "h", "tz_aware": True, "connect": False, "document_class": dict}, "mongodb://h:27017/"),
    ({"host": "mongodb://h/db?w=1", "replicaSet": "rs"}, "mongodb://h/db?w=1&replicaSet=rs"),
    ({"host": "mongodb://x:y@h", "username": "u", "password": SECRET}, f"mongodb://u:{QUOTED}@h"),
    ({"url": "mongodb://h/db"}, "mongodb://h/db"),
]


@pytest.mark.parametrize(("keywords", "url"), MONGODB, ids=[url for _, url in MONGODB])
def test_mongodb_is_said_by_a_url(keywords: dict[str, Any], url: str) -> None:
    assert mongodb_url(**keywords) == url


@pytest.mark.parametrize(
    ("place", "options", "url"),
    [
        ("h", {}, "mongodb://h:27017/"),
        (
            f"mongodb://u:{QUOTED}@a,b:2/?replicaSet=r",
            {},
            f"mongodb://u:{QUOTED}@a:27017,b:2/?authSource=admin&replicaSet=r",
        ),
        ("h", {"tls": True, "tlsCAFile": None}, "mongodb://h:27017/?tls=true"),
        ("h", {"directConnection": True}, "mongodb://h:27017/?directConnection=true"),
    ],
)
def test_a_client_of_pymongo_is_followed(place: str, options: dict[str, Any], url: str) -> None:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(place, connect=False, **options)
    with client:
        assert mongodb_url(client=client) == url


def _mongo(*arguments: Any, **keywords: Any) -> Any:
    return pymongo.MongoClient(*arguments, **keywords | {"connect": False})


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: redis_url(hots="h"), "RedisDataCache: the connection keyword 'hots' is not supported"),
    (lambda: redis_url(unix_socket_path="/s"), "RedisDataCache: the connection keyword 'unix_socket_path'"),
    (lambda: redis_url(host="/run/redis.sock"), "RedisDataCache: a unix socket is not supported"),
    (lambda: redis_url(ssl=True, ssl_cert_reqs="none"), "ssl_cert_reqs and ssl_check_hostname cannot be turned off"),
    (lambda: redis_url(ssl=True, ssl_certfile="/c"), "the connection keyword 'ssl_certfile' is not supported"),
    (lambda: redis_url(client=redis.Redis(ssl=True, ssl_cert_reqs="none")), "ssl_cert_reqs .* cannot be turned off"),
    (lambda: redis_url(client=redis.Redis(ssl=True, ssl_validate_ocsp=True)), "keyword 'ssl_validate_ocsp'"),
    (
        lambda: redis_url(client=redis.Redis(unix_socket_path="/s")),
        "class UnixDomainSocketConnection are not supported",
    ),
    (
        lambda: redis_url(
            client=redis.Redis(credential_provider=redis.UsernamePasswordCredentialProvider("u", SECRET))
        ),
        "the connection keyword 'credential_provider' is not supported",
    ),
    (
        lambda: redis_url(client=redis.sentinel.Sentinel([("h", 1)]).master_for("shop")),
        "connections of the class SentinelManagedConnection are not supported",
    ),
    (lambda: redis_url(client=_mongo()), "a MongoClient is not a client or pool of redis-py"),
    (lambda: redis_url(pool="redis://h"), "a str is not a client or pool of redis-py"),
    (lambda: redis_url(url="redis://h", host="h"), "RedisDataCache got an unexpected keyword argument 'host'"),
    (
        lambda: mongodb_url(server_api=object()),
        "MongoDBDataStore: the connection keyword 'server_api' is not supported",
    ),
    (lambda: mongodb_url(client=redis.Redis()), "MongoDBDataStore: a Redis is not a client of pymongo"),
    (
        lambda: mongodb_url(client=_mongo("h", tls=True, tlsAllowInvalidCertificates=True)),
        "clients that do not check certificates, are not supported",
    ),
    (lambda: mongodb_url(host=["mongodb://a", "b"]), "the list of hosts contains a URL"),
    (lambda: mongodb_url(url="mongodb://h", port=1), "MongoDBDataStore got an unexpected keyword argument 'port'"),
    (lambda: mongodb_url(database=5), "database is an int; expected str"),
]


@pytest.mark.parametrize(("made", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_cannot_be_followed_is_refused_by_name(made: Callable[[], Any], named: str) -> None:
    with pytest.raises(TypeError, match=named) as raised:
        made()
    assert SECRET not in str(raised.value)


def test_values_that_a_url_cannot_hold_are_refused() -> None:
    for keywords in ({"prefix": "a&b"}, {"ssl": True, "ssl_ca_certs": "/a&b"}):
        with pytest.raises(ValueError, match="RedisDataCache: (prefix|ca) is '/?a&b'; expected a string without '&'"):
            dt.RedisDataCache(**keywords)
    for data_expire in (0, -1, 1.5, True, "60"):
        with pytest.raises(
            ValueError, match=f"^data_expire is {data_expire!r}; expected a number of seconds, 1 or more$"
        ):
            dt.RedisDataCache(data_expire=data_expire)  # type: ignore[arg-type]


SHOWN = [
    (dt.RedisDataCache(host="h", username="u", password=SECRET), "<RedisDataCache redis://h:6379/0>"),
    (dt.RedisDataCache(url=f"redis://u:{QUOTED}@h?prefix=shop"), "<RedisDataCache redis://h>"),
    (dt.RedisDataCache(url=f"redis://u:{SECRET}@h"), "<RedisDataCache redis://…>"),
    (dt.RedisDataCache(url=f"u:{SECRET}@h"), "<RedisDataCache …>"),
    (dt.MongoDBDataStore(host="h", username="u", password=SECRET), "<MongoDBDataStore mongodb://h:27017>"),
    (dt.MongoDBDataStore(url=f"mongodb://u:{QUOTED}@h/db"), "<MongoDBDataStore mongodb://h/db>"),
    (dt.MongoDBDataStore(url=f"mongodb://u:{SECRET}@h/db"), "<MongoDBDataStore mongodb://…>"),
    (
        dt.MongoDBDataStore(url=f"mongodb://h/?tlsCertificateKeyFilePassword={QUOTED}"),
        "<MongoDBDataStore mongodb://h>",
    ),
    (dt.MongoDBDataStore(url=f"u:{SECRET}@h"), "<MongoDBDataStore …>"),
]


@pytest.mark.parametrize(("made", "shown"), SHOWN, ids=[shown for _, shown in SHOWN])
def test_no_repr_has_a_password(made: Any, shown: str) -> None:
    assert (repr(made), str(made)) == (shown, shown)


WRONG: list[tuple[Any, str]] = [
    (
        dt.RedisDataCache(url=f"http://u:{QUOTED}@h"),
        "^Redis could not read the URL http://h: the scheme is not one of Redis;",
    ),
    (dt.RedisDataCache(url=f"u:{QUOTED}@h"), r"URL …: no scheme; .*; expected redis://\[user:password@\]host"),
    (dt.RedisDataCache(url="redis://"), "redis://…: no host; .*; expected"),
    (dt.RedisDataCache(url=f"redis://u:{QUOTED}@h:port"), "redis://…: port is not a number; .*; expected"),
    (dt.RedisDataCache(url=f"redis://u:{QUOTED}@h/db"), "redis://h: database is not a number; expected"),
    (
        dt.RedisDataCache(url="redis://u:s3cr@t?h1dden@h"),
        "^Redis could not read the URL redis://…: contains @ or # after the hosts; .*; expected redis",
    ),
    (dt.RedisDataCache(url="redis://h?nonsense=1"), 'unknown option "nonsense"; expected'),
    (
        dt.RedisDataCache(url="redis://h?idle=never"),
        "the option idle is not a duration such as 90s, 30m or 24h; expected",
    ),
    (dt.RedisDataCache(url="redis://h", prefix="{a}"), "the option prefix is empty or contains braces; expected"),
    (
        dt.MongoDBDataStore(url=f"http://u:{QUOTED}@h"),
        "could not read the URL http://h: the scheme is not one of MongoDB; expected mongodb://",
    ),
    (dt.MongoDBDataStore(url=f"u:{QUOTED}@h"), "could not read the URL …: no scheme.*; expected mongodb://"),
    (
        dt.MongoDBDataStore(url=f"mongodb://u:{QUOTED}@h:port"),
        "mongodb://…: port is not a number.*; expected mongodb://",
    ),
    (
        dt.MongoDBDataStore(url="mongodb://u:s3cr@t?h1dden@h"),
        "could not read the URL mongodb://…: .*; expected mongodb://",
    ),
    (
        dt.MongoDBDataStore(url=f"mongodb://u:{QUOTED}@h/?nonsense=1"),
        "nonsense is an invalid option.*; expected mongodb://",
    ),
    (
        dt.MongoDBDataStore(host="h", database="a b$"),
        '"a b\\$" is not a valid name for a database; expected mongodb://',
    ),
]


@pytest.mark.parametrize(("made", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_url_is_refused_with_what_is_expected_and_without_its_password(made: Any, said: str) -> None:
    is_cache = isinstance(made, dt.RedisDataCache)
    with pytest.raises(dt.DataStoreOperationError, match=said) as raised:
        dt.TrackingManager(made if is_cache else None, None if is_cache else made)
    message = str(raised.value)
    assert not any(part in message for part in ("s3cr", "%26", "h1dden"))
    # A readable message, not the repr of the driver.
    assert not any(noise in message for noise in ("labels: {", "Kind: ", "source: None", "InvalidClientConfig"))


def test_arguments_that_mean_nothing_any_more_warn_once_by_name() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            dt.RedisDataCache(check_flag_key="flag")
            dt.MongoDBDataStore(strict=True)
    said = [str(warning.message) for warning in caught]
    assert said == [
        "RedisDataCache: check_flag_key no longer has any effect", "MongoDBDataStore: strict no longer has any effect"
    ]  # fmt: skip
    assert {(warning.category, warning.filename) for warning in caught} == {(DeprecationWarning, __file__)}


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis-cluster://127.0.0.1:1", "mongodb://127.0.0.1:1/db"])
def test_a_server_that_is_away_is_an_error_that_names_it_and_nothing_is_printed(url: str, run: Run) -> None:
    source = """
    import logging, sys, time
    import dictrack as dt

    url, backends, printed = sys.argv[1], sys.argv[2:], []
    # Python prints records to this handler if logging is not configured.
    logging.lastResort.emit = printed.append
    began = time.monotonic()
    try:
        dt.TrackingManager(dt.RedisDataCache(url=url)) if "redis" in url else dt.TrackingManager.open(url)
    except dt.UnavailableError as error:
        print("127.0.0.1:1" in str(error), "refused" in str(error), error.backend in backends)
        print(time.monotonic() - began < 5)
    print([record.getMessage() for record in printed])
    """
    assert run(source, url, "Redis", "MongoDB") == "True True True\nTrue\n[]\n"
    assert logging.getLogger("dictrack").handlers
