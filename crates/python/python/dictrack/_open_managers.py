"""The open managers, to close them at interpreter exit."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref

from dictrack._dictrack import Manager

logger = logging.getLogger("dictrack.manager")


class _Open:
    def __init__(self) -> None:
        self._managers: weakref.WeakSet[Manager] = weakref.WeakSet()
        self._lock = threading.Lock()
        atexit.register(self.close_all)
        os.register_at_fork(after_in_child=self._forget)

    def add(self, manager: Manager) -> None:
        with self._lock:
            self._managers.add(manager)

    def discard(self, manager: Manager) -> None:
        with self._lock:
            self._managers.discard(manager)

    def _forget(self) -> None:
        # They belong to the parent.
        self._managers = weakref.WeakSet()
        self._lock = threading.Lock()

    def close_all(self) -> None:
        for manager in list(self._managers):
            try:
                manager.close().wait()
            except Exception:
                logger.exception("a manager could not write everything at interpreter exit")


open_managers = _Open()
