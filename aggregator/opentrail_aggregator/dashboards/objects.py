"""All dashboards as saved objects, one JSON object a line, as Dashboards imports them.

One file holds the index pattern and everything that refers to it: a missing reference cancels the
import of all. Ids are fixed, so importing again replaces; those for a workspace have a suffix of
their own, because an id that lives in another workspace would become a new object at each import.
The same file serves 2.19 and 3.x: the versions written here are the newest that either migrates to.
"""

import hashlib
import json
from typing import Any

from opentrail_aggregator.dashboards.activity import CHANGES, OVERVIEW, WHO_BOARD
from opentrail_aggregator.dashboards.panels import CONTROLS, GRID_COLUMNS, Board, Panel
from opentrail_aggregator.dashboards.safety import ERRORS, ITSELF, SECURITY
from opentrail_aggregator.dashboards.visuals import vis_state
from opentrail_aggregator.opensearch.template import ALIAS

BOARDS: tuple[Board, ...] = (OVERVIEW, WHO_BOARD, CHANGES, ERRORS, SECURITY, ITSELF)
PATTERN_TITLE = f"{ALIAS}-*"
TIME_FIELD = "eventTime"
_HIDDEN = ("opentrail.leaf", "opentrail.text", "opentrail.raw", "opentrail.head")
_VERSIONS = {
    "index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3",
}  # fmt: skip
_PANEL_VERSION = "7.10.0"
_SOURCE_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
Json = dict[str, Any]


class Ids:
    """The ids of one set of objects."""

    def __init__(self, workspace: str = "") -> None:
        mark = hashlib.sha256(workspace.encode()).hexdigest()[:8] if workspace else ""
        self._prefix = f"opentrail-{mark}-" if mark else "opentrail-"

    def pattern(self) -> str:
        return f"{self._prefix}events"

    def panel(self, board: Board, panel: Panel) -> str:
        letter = "s" if panel.kind == "events" else "v"
        return f"{self._prefix}{letter}-{board.key}-{panel.key}"

    def board(self, board: Board) -> str:
        return f"{self._prefix}d-{board.key}"


def saved_objects(workspace: str = "") -> list[Json]:
    """The index pattern, then each dashboard behind what it shows."""
    ids = Ids(workspace)
    found = [_pattern(ids)]
    for board in BOARDS:
        found += [_panel(ids, board, each) for each in board.panels]
        found.append(_board(ids, board))
    return found


def ndjson(objects: list[Json]) -> bytes:
    """One line each, with a newline behind the last one, so that files can be joined."""
    return b"".join(_text(each).encode() + b"\n" for each in objects)


def _pattern(ids: Ids) -> Json:
    # Without `fields` Dashboards asks for them itself when the pattern is first opened.
    attributes = {
        "title": PATTERN_TITLE,
        "timeFieldName": TIME_FIELD,
        "sourceFilters": _text([{"value": name} for name in _HIDDEN]),
    }
    return _object("index-pattern", ids.pattern(), attributes, [])


def _panel(ids: Ids, board: Board, panel: Panel) -> Json:
    title = f"{board.title}: {panel.title}"
    source: Json = {"query": {"query": panel.query, "language": "kuery"}, "filter": []}
    references = []
    if panel.kind == "controls":
        references = [_reference(f"control_{at}_index_pattern", ids) for at in range(len(CONTROLS))]
    elif panel.kind != "text":
        source["indexRefName"] = _SOURCE_INDEX
        references = [_reference(_SOURCE_INDEX, ids)]
    attributes: Json = {"title": title, "description": "", "version": 1}
    if panel.kind == "events":
        kind = "search"
        attributes |= {"hits": 0, "columns": list(panel.columns), "sort": [[TIME_FIELD, "desc"]]}
        source = {"highlightAll": True, "version": True, **source}
    else:
        kind = "visualization"
        attributes |= {"visState": _text(vis_state(panel, title)), "uiStateJSON": _ui_state(panel)}
    attributes["kibanaSavedObjectMeta"] = {"searchSourceJSON": _text(source)}
    return _object(kind, ids.panel(board, panel), attributes, references)


def _ui_state(panel: Panel) -> str:
    if panel.kind != "table":
        return "{}"
    # By the first number, largest first.
    column = sum(1 for _ in panel.splits)
    return _text({"vis": {"params": {"sort": {"columnIndex": column, "direction": "desc"}}}})


def _board(ids: Ids, board: Board) -> Json:
    panels, references = [], []
    for at, (panel, (x, y)) in enumerate(zip(board.panels, _places(board.panels), strict=True)):
        number = str(at + 1)
        panels.append({
            "version": _PANEL_VERSION, "panelIndex": number, "title": panel.title,
            "gridData": {"x": x, "y": y, "w": panel.width, "h": panel.height, "i": number},
            "embeddableConfig": {}, "panelRefName": f"panel_{at}",
        })  # fmt: skip
        kind = "search" if panel.kind == "events" else "visualization"
        references.append({"name": f"panel_{at}", "type": kind, "id": ids.panel(board, panel)})
    source = {"query": {"query": "", "language": "kuery"}, "filter": []}
    attributes = {
        "title": board.title, "description": board.description, "hits": 0, "version": 1,
        "timeRestore": True, "timeFrom": "now-24h", "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 0},
        "optionsJSON": _text({"useMargins": True, "hidePanelTitles": False}),
        "panelsJSON": _text(panels),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
    }  # fmt: skip
    return _object("dashboard", ids.board(board), attributes, references)


def _places(panels: tuple[Panel, ...]) -> list[tuple[int, int]]:
    """From left to right, a new row where the next one does not fit any more."""
    found = []
    x = y = row = 0
    for each in panels:
        if x + each.width > GRID_COLUMNS:
            x, y, row = 0, y + row, 0
        found.append((x, y))
        x, row = x + each.width, max(row, each.height)
    return found


def _reference(name: str, ids: Ids) -> Json:
    return {"name": name, "type": "index-pattern", "id": ids.pattern()}


def _object(kind: str, name: str, attributes: Json, references: list[Json]) -> Json:
    return {
        "type": kind, "id": name, "attributes": attributes, "references": references,
        "migrationVersion": {kind: _VERSIONS[kind]},
    }  # fmt: skip


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
