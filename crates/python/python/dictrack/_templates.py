"""The trackers that groups have without being given them one by one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from dictrack import _values, _warnings
from dictrack._dictrack import Templates
from dictrack._values import a_type
from dictrack.conditions.base import BaseCondition
from dictrack.trackers.base import BaseTracker

__all__ = ["templates_of"]


def templates_of(trackers: Any) -> Templates:
    """Reads the argument ``trackers`` of a manager."""
    if isinstance(trackers, (str, os.PathLike)):
        templates, warnings = Templates.read_file(os.fspath(trackers))
        _warnings.warn(warnings)
        return templates
    if isinstance(trackers, (bytes, BaseTracker)) or not isinstance(trackers, Iterable):
        raise TypeError(
            f"trackers is {a_type(trackers)}; expected a list of trackers, a dict with `trackers`, `templates` or both, or the "
            "path of a file with them"
        )
    source = trackers if isinstance(trackers, Mapping) else {"trackers": trackers}
    return Templates(_values.plain(_as_in_files(source), strict=True, where="trackers"))


def _as_in_files(value: Any) -> Any:
    """The same with trackers and conditions as definition files have them."""
    if isinstance(value, BaseTracker):
        return value._definition().to_dict()
    if isinstance(value, BaseCondition):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _as_in_files(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_as_in_files(one) for one in value]
    return value
