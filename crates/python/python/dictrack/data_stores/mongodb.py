"""Keeps groups in MongoDB."""

from __future__ import annotations

from typing import Any

from dictrack import _compat, _urls
from dictrack._dictrack import shown_url
from dictrack._values import a_type
from dictrack.data_stores.base import BaseDataStore

__all__ = ["MongoDBDataStore"]


class MongoDBDataStore(BaseDataStore):
    """Keeps groups in MongoDB, one readable document per group.

    Specify the server with ``url``, a client of pymongo, or the connection keywords of pymongo (``host``, ``port``,
    ``username``, ``password``, and URL options); the first of these that is given is used. dictrack only takes the address and
    settings from them and makes its own connection. A keyword that it cannot honour is an error.

    Parameters
    ----------
    scheduler_class, check_interval, strict
        From dictrack 2.1.5; they no longer have any effect.
    collection : str, optional
        Default ``groups``. The data of dictrack 2.1.5 is in ``data_store`` and is not touched; import it with ``dictrack
        import --from-dictrack``.
    database : str, optional
        Default: the one in the URL, or ``dictrack``.
    client : pymongo.MongoClient, optional
        A client of pymongo.
    url : str, optional
        ``mongodb://[user:password@]host[:port]/[database]``; ``?password_file=FILE`` reads the password from a file.

    Raises
    ------
    TypeError
        If a connection keyword or a client is not supported.
    """

    def __init__(
        self,
        scheduler_class: Any = None,
        check_interval: Any = None,
        collection: str | None = None,
        database: str | None = None,
        client: Any = None,
        strict: Any = None,
        *,
        url: str | None = None,
        **connect_kwargs: Any,
    ) -> None:
        where = "MongoDBDataStore"
        _compat.ignored(
            where, _compat.given(scheduler_class=scheduler_class, check_interval=check_interval, strict=strict)
        )
        for name, value in (("collection", collection), ("database", database)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} is {a_type(value)}; expected str")
        if url is not None:
            _compat.unexpected(where, connect_kwargs)
            self._url = _urls.checked(url)
        elif client is not None:
            _compat.unexpected(where, connect_kwargs)
            self._url = _urls.mongo_of(where, client)
        else:
            self._url = _urls.mongo_url(where, connect_kwargs)
        self._database = database
        self._collection = collection

    def _options(self) -> dict[str, Any]:
        return {"mongodb": (self._url, self._database, self._collection)}

    def __repr__(self) -> str:
        return f"<MongoDBDataStore {shown_url(self._url)}>"
