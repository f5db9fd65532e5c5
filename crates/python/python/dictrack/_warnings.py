"""Warnings about definitions, shown at the line that creates them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable

from dictrack.utils.errors import DictrackWarning

__all__ = ["warn"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(texts: Iterable[str]) -> None:
    """Issues each warning, at the line of the program that called the package."""
    for text in texts:
        depth, frame = 1, sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            depth, frame = depth + 1, frame.f_back
        warnings.warn(text, DictrackWarning, stacklevel=depth + 1)
