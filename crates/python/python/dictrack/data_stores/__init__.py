"""Stores: where all groups are kept."""

from dictrack.data_stores.base import BaseDataStore

__all__ = ["BaseDataStore"]
