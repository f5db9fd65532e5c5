"""Caches: where groups are held while they are in use."""

from dictrack.data_caches.base import BaseDataCache

__all__ = ["BaseDataCache"]
