"""Converts objects and connection keywords of redis-py and pymongo into URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from dictrack._values import a_type, shown

# Keywords for the client of redis-py itself, which is not used. They have no effect.
_REDIS_CLIENT = {
    "auto_close_connection_pool", "cache", "cache_config", "charset", "client_name", "connection_class", "connection_pool",
    "credential_provider", "decode_responses", "encoder_class", "encoding", "encoding_errors", "errors", "event_dispatcher",
    "health_check_interval", "legacy_responses", "lib_name", "lib_version", "maint_notifications_config",
    "max_connections", "parser_class", "protocol", "read_from_replicas", "redis_connect_func", "reinitialize_steps",
    "require_full_coverage", "retry", "retry_on_error", "retry_on_timeout", "single_connection_client",
    "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "socket_read_size", "socket_timeout",
    "ssl_check_hostname", "ssl_min_version", "ssl_cert_reqs",
}  # fmt: skip
# Keywords for the client of pymongo itself. They have no effect.
_MONGO_CLIENT = {
    "connect",
    "document_class",
    "event_listeners",
    "server_selector",
    "type_registry",
    "tz_aware",
    "tzinfo",
}


def _refuse(where: str, problem: str) -> TypeError:
    return TypeError(f"{where}: {problem}; use url= instead")


def _login(username: Any, password: Any) -> str:
    if username is None and password is None:
        return ""
    secret = "" if password is None else f":{quote(str(password), safe='')}"
    return f"{quote(str(username or ''), safe='')}{secret}@"


def _is_of(thing: Any, package: str) -> bool:
    """Whether the class of an object, or a base class, comes from a package."""
    return any(cls.__module__.split(".")[0] == package for cls in type(thing).__mro__)


def checked(url: Any) -> str:
    """A URL, checked to be a string. It is parsed when a manager is opened with it."""
    if not isinstance(url, str):
        raise TypeError(f"url is {a_type(url)}; expected str")
    return str.__str__(url)


def redis_url(where: str, given: dict[str, Any], options: dict[str, Any], nodes: str | None = None) -> str:
    """The URL for keywords of redis-py. ``nodes`` are the servers of a cluster."""
    left = {name: value for name, value in given.items() if value is not None}
    host, port, db = left.pop("host", "localhost"), left.pop("port", 6379), left.pop("db", 0)
    login = _login(left.pop("username", None), left.pop("password", None))
    tls = bool(left.pop("ssl", False))
    ca = left.pop("ssl_ca_certs", None)
    unchecked = left.get("ssl_check_hostname") is False or getattr(
        left.get("ssl_cert_reqs"), "name", str(left.get("ssl_cert_reqs", "required"))
    ).lower() not in ("required", "cert_required")
    if tls and unchecked:
        raise _refuse(where, "ssl_cert_reqs and ssl_check_hostname cannot be turned off")
    for name, value in left.items():
        # Clients also pass keywords for certificate checks that are off.
        is_off = name.startswith("ssl_") and value is False
        if (name not in _REDIS_CLIENT and not is_off) or name == "credential_provider":
            raise _refuse(where, f"the connection keyword {name!r} is not supported")
    if str(host).startswith("/"):
        raise _refuse(where, "a unix socket is not supported")
    if tls and ca is not None:
        options = {**options, "ca": ca}
    for name, value in options.items():
        if "&" in str(value):
            raise ValueError(f"{where}: {name} is {shown(value)}; expected a string without '&'")
    query = "&".join(f"{name}={value}" for name, value in options.items())
    place = f"{nodes}" if nodes else f"{f'[{host}]' if ':' in str(host) else host}:{port}/{db}"
    return f"redis{'s' if tls else ''}{'-cluster' if nodes else ''}://{login}{place}{'?' if query else ''}{query}"


def redis_of(where: str, client: Any, pool: Any, options: dict[str, Any]) -> str:
    """The URL of a client or a pool of redis-py."""
    given = client if pool is None else pool
    if not _is_of(given, "redis"):
        raise _refuse(where, f"{a_type(given)} is not a client or pool of redis-py")
    cluster = getattr(client, "nodes_manager", None) if pool is None else None
    if cluster is not None:
        nodes = ",".join(f"{node.host}:{node.port}" for node in cluster.startup_nodes.values())
        return redis_url(where, {**cluster.connection_kwargs, "ssl_check_hostname": None}, options, nodes)
    found = getattr(client, "connection_pool", None) if pool is None else pool
    if found is None or not hasattr(found, "connection_kwargs"):
        raise _refuse(where, f"{a_type(given)} is not a client or pool of redis-py")
    kind = getattr(getattr(found, "connection_class", None), "__name__", "Connection")
    if kind not in ("Connection", "SSLConnection"):
        raise _refuse(where, f"connections of the class {kind} are not supported")
    # Some versions of redis-py only check the host name in a certificate if asked to; dictrack always does.
    keywords = {**found.connection_kwargs, "ssl": kind == "SSLConnection", "ssl_check_hostname": None}
    return redis_url(where, keywords, options)


def mongo_url(where: str, given: dict[str, Any]) -> str:
    """The URL for keywords of pymongo, which have the same names as URL options."""
    left = {name: value for name, value in given.items() if value is not None}
    host, port = left.pop("host", "localhost"), left.pop("port", 27017)
    login = _login(left.pop("username", None), left.pop("password", None))
    for name in [name for name in left if name in _MONGO_CLIENT]:
        left.pop(name)
    options = {}
    for name, value in left.items():
        if not isinstance(value, (str, int, float)):
            raise _refuse(where, f"the connection keyword {name!r} is not supported")
        options[name] = str(value).lower() if isinstance(value, bool) else str(value)
    hosts = [str(one) for one in (host if isinstance(host, (list, tuple)) else [host])]
    if any("://" in one for one in hosts):
        if len(hosts) > 1:
            raise _refuse(where, "the list of hosts contains a URL")
        url = hosts[0]
        if login:
            scheme, rest = url.split("://", 1)
            url = f"{scheme}://{login}{rest.rsplit('@', 1)[-1]}"
        if not options:
            return url
        if "/" not in url.split("://", 1)[1]:
            url += "/"
        return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}"
    named = ",".join(one if ":" in one else f"{one}:{port}" for one in hosts)
    query = f"?{urlencode(options)}" if options else ""
    return f"mongodb://{login}{named}/{query}"


def mongo_of(where: str, client: Any) -> str:
    """The URL of a client of pymongo."""
    if not _is_of(client, "pymongo"):
        raise _refuse(where, f"{a_type(client)} is not a client of pymongo")
    seeds = getattr(getattr(client, "_topology_settings", None), "seeds", None)
    options = getattr(client, "options", None)
    if not seeds or options is None:
        raise _refuse(where, f"{a_type(client)} is not a client of pymongo")
    credentials = options.pool_options._credentials
    given: dict[str, Any] = {"host": [f"{host}:{port}" for host, port in sorted(seeds)]}
    if credentials is not None:
        if credentials.mechanism not in ("DEFAULT", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            raise _refuse(where, f"the authentication mechanism {credentials.mechanism} is not supported")
        given |= {"username": credentials.username, "password": credentials.password, "authSource": credentials.source}
    given["replicaSet"] = options.replica_set_name
    if options.direct_connection:
        given["directConnection"] = True
    if options.pool_options._ssl_context is not None:
        tls = {name: value for name, value in options._options.items() if name.startswith("tls")}
        if tls.get("tlscertificatekeyfile") or tls.get("tlsallowinvalidcertificates") or tls.get("tlsinsecure"):
            raise _refuse(where, "client certificates, and clients that do not check certificates, are not supported")
        given |= {"tls": True, "tlsCAFile": tls.get("tlscafile")}
    return mongo_url(where, given)
