"""Holds groups in Redis, shared by processes and machines."""

from __future__ import annotations

from typing import Any

from dictrack import _compat, _urls
from dictrack._dictrack import shown_url
from dictrack._values import a_type, shown
from dictrack.data_caches.base import BaseDataCache

__all__ = ["RedisDataCache"]


class RedisDataCache(BaseDataCache):
    """Holds groups in Redis. All processes with the same server and prefix share them.

    Specify the server with ``url``, a client or pool of redis-py, or the connection keywords of redis-py (``host``, ``port``,
    ``db``, ``username``, ``password``, ``ssl``, ``ssl_ca_certs``); the first of these that is given is used. dictrack only
    takes the address and settings from them and makes its own connection. A keyword that it cannot honour is an error.

    Parameters
    ----------
    scheduler_class, check_interval, stale_threshold, data_key, last_cached_key, check_flag_key, batch_size, strict
        From dictrack 2.1.5; they no longer have any effect.
    data_expire : int, optional
        After how many idle seconds a group that the store has leaves Redis; default one day.
    client : redis.Redis or redis.RedisCluster, optional
        A client of redis-py.
    pool : redis.ConnectionPool, optional
        A pool of redis-py.
    url : str, optional
        ``redis://[user:password@]host[:port][/database]``, ``rediss://`` for TLS, or ``redis-cluster://host:port,host:port``.
    prefix : str, optional
        What all keys start with; default ``dictrack``.
    max_bytes : int, optional
        The memory limit in bytes for copies of groups in this process; default 256 MiB.

    Raises
    ------
    TypeError
        If a connection keyword, a client or a pool is not supported.
    """

    def __init__(
        self,
        scheduler_class: Any = None,
        check_interval: Any = None,
        stale_threshold: Any = None,
        data_key: Any = None,
        last_cached_key: Any = None,
        check_flag_key: Any = None,
        batch_size: Any = None,
        data_expire: int | None = None,
        client: Any = None,
        pool: Any = None,
        strict: Any = None,
        *,
        url: str | None = None,
        prefix: str | None = None,
        max_bytes: int | None = None,
        **connect_kwargs: Any,
    ) -> None:
        where = "RedisDataCache"
        _compat.ignored(
            where,
            _compat.given(
                scheduler_class=scheduler_class,
                check_interval=check_interval,
                stale_threshold=stale_threshold,
                data_key=data_key,
                last_cached_key=last_cached_key,
                check_flag_key=check_flag_key,
                batch_size=batch_size,
                strict=strict,
            ),
        )
        options: dict[str, Any] = {}
        if prefix is not None:
            if not isinstance(prefix, str):
                raise TypeError(f"prefix is {a_type(prefix)}; expected str")
            options["prefix"] = prefix
        if data_expire is not None:
            if isinstance(data_expire, bool) or not isinstance(data_expire, int) or data_expire <= 0:
                raise ValueError(f"data_expire is {shown(data_expire)}; expected a number of seconds, 1 or more")
            options["idle"] = f"{data_expire}s"
        if url is not None:
            _compat.unexpected(where, connect_kwargs)
            more = "&".join(f"{name}={value}" for name, value in options.items())
            self._url = _urls.checked(url) + ("&" if "?" in url else "?") * bool(more) + more
        elif client is not None or pool is not None:
            _compat.unexpected(where, connect_kwargs)
            self._url = _urls.redis_of(where, client, pool, options)
        else:
            self._url = _urls.redis_url(where, connect_kwargs, options)
        self._max_bytes = _compat.whole("max_bytes", max_bytes)

    def _options(self) -> dict[str, Any]:
        return {"redis": self._url, "cache_bytes": self._max_bytes}

    def __repr__(self) -> str:
        return f"<RedisDataCache {shown_url(self._url)}>"
