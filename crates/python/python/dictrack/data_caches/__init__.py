"""Where groups are held while they are used."""

from dictrack.data_caches.base import BaseDataCache

__all__ = ["BaseDataCache"]
