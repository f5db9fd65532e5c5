"""What Jupyter shows: trackers and outcomes with bars, in light and dark."""

from __future__ import annotations

import html
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from dictrack._dictrack import Outcome, Trackers
from dictrack.utils.errors import DictrackError

if TYPE_CHECKING:
    from dictrack.manager import TrackingManager
    from dictrack.trackers.base import BaseTracker

# The most groups, trackers and stages that are shown.
_GROUPS = 5
_TRACKERS = 20
_STAGES = 12

# Text has the colour of the notebook; the others are seen on light and on dark pages.
_BAR = "display:inline-block;height:0.8em;background:#3b82d0"
_STAGE = "display:inline-block;height:0.8em;margin-right:2px;background:rgba(127,127,127,0.3)"
_LEFT = "text-align:left;vertical-align:top;overflow-wrap:anywhere"


def shown(text: object) -> str:
    """A text as HTML. What nobody would see is escaped."""
    return html.escape("".join(letter if letter.isprintable() else f"\\u{{{ord(letter):x}}}" for letter in str(text)))


def _parts(tracker: BaseTracker) -> list[float]:
    """For each stage, how much of it is reached, from 0 to 1."""
    targets = tracker.targets
    if tracker.completed or tracker.status == "resting":
        return [1.0] * len(targets)
    progress = float(tracker.progress)
    parts, before = [], 0.0
    for at, target in enumerate(map(float, targets), 1):
        # Progress may start again at each stage.
        start = before if before < target and progress >= before else 0.0
        part = (progress - start) / (target - start) if target > start else 0.0
        parts.append(
            1.0 if at < tracker.current_stage else max(0.0, min(part, 1.0)) if at == tracker.current_stage else 0.0
        )
        before = target
    return parts


def _bar(tracker: BaseTracker) -> str:
    """A bar for each stage; of many, one for all."""
    parts = _parts(tracker)
    if len(parts) > _STAGES:
        parts = [sum(parts) / len(parts)]
    width = 12 / max(len(parts), 1)
    return "".join(
        f'<span style="{_STAGE};width:{width:.2f}em"><span style="{_BAR};width:{part:.0%}"></span></span>'
        for part in parts
    )


def _row(tracker: BaseTracker, note: str = "") -> str:
    tally = shown(tracker.progress if tracker.target is None else f"{tracker.progress}/{tracker.target}")
    stages = len(tracker.targets)
    stage = f"{tracker.current_stage} of {stages}" if stages > 1 and not tracker.completed else ""
    status = "limited" if tracker.limited and tracker.status == "active" else tracker.status
    cells = [shown(tracker.name), _bar(tracker), tally, stage, note or status]
    return "<tr>" + "".join(f'<td style="{_LEFT}">{cell}</td>' for cell in cells) + "</tr>"


def _table(rows: Iterable[str], last: str = "status") -> str:
    head = "".join(f'<th style="{_LEFT}">{name}</th>' for name in ("tracker", "stages", "progress", "stage", last))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _more(count: int) -> str:
    return f"<p>… and {count} more</p>" if count > 0 else ""


def of_tracker(tracker: BaseTracker) -> str:
    """A tracker as a table of one row."""
    return _table([_row(tracker)])


def of_trackers(trackers: Trackers) -> str:
    """A list of trackers."""
    return _table(_row(tracker) for tracker in islice(trackers, _TRACKERS)) + _more(len(trackers) - _TRACKERS)


def of_outcome(outcome: Outcome) -> str:
    """An outcome: each tracker that the document changed, and each that did not count it."""
    counted = {tracker.name for tracker in outcome.counted}
    completed = {tracker.name for tracker in outcome.completed}
    changed = {
        tracker.name: tracker
        for trackers in (outcome.counted, outcome.refused, outcome.dirtied)
        for tracker in trackers
    }
    rows = []
    for name, tracker in islice(changed.items(), _TRACKERS):
        note = "completed" if name in completed else "counted" if name in counted else "refused"
        rows.append(_row(tracker, note))
    left_out = {**{name: f"skipped: {why}" for name, why in outcome.skipped.items()}, **outcome.failed}
    notes = "".join(f"<p>{shown(name)}: {shown(why)}</p>" for name, why in islice(left_out.items(), _TRACKERS))
    if outcome.duplicate:
        return "<p>A repeated document: nothing changed.</p>"
    if not rows and not notes:
        return "<p>No tracker counted the document.</p>"
    return (_table(rows, "outcome") + _more(len(changed) - _TRACKERS) if rows else "") + notes


def of_manager(manager: TrackingManager) -> str:
    """A manager: its first groups. A store that cannot be read now is no reason for an error here."""
    head = f"<p>{shown(repr(manager))}</p>"
    try:
        groups = list(islice(manager.groups(), _GROUPS + 1))
        tables = []
        for group in groups[:_GROUPS]:
            trackers = manager.get_trackers(group) + manager.completed(group)
            rows = [_row(tracker) for tracker in trackers[:_TRACKERS]]
            tables.append(f"<p><b>{shown(group)}</b></p>{_table(rows)}{_more(len(trackers) - _TRACKERS)}")
    except DictrackError as error:
        return f"{head}<p>{shown(error)}</p>"
    rest = "<p>… and more groups; <code>to_frame()</code> has them all.</p>" if len(groups) > _GROUPS else ""
    return head + "".join(tables) + rest


def install() -> None:
    """Gives the native classes their HTML."""
    outcome: Any = Outcome
    outcome._repr_html_ = lambda self: of_outcome(self)
    trackers: Any = Trackers
    trackers._repr_html_ = lambda self: of_trackers(self)
