"""A panel as the visualisation that Dashboards draws: classic ones, which 2.19 and 3.x both know.

Each kind's parameters are given completely: what is left out is not defaulted by every version but
breaks the panel when it is opened.
"""

from typing import Any

from opentrail_aggregator.dashboards.panels import (
    CONTROLS,
    Filters,
    Metric,
    Panel,
    Split,
    Terms,
    Time,
)

Json = dict[str, Any]
_TYPES = {
    "number": "metric", "over_time": "histogram", "bars": "horizontal_bar", "pie": "pie",
    "table": "table", "heat": "heatmap", "text": "markdown", "controls": "input_control_vis",
}  # fmt: skip
_SCHEMAS = {
    "number": ("group",), "over_time": ("segment", "group"), "bars": ("segment", "group"),
    "pie": ("segment",) * 3, "table": ("bucket",) * 4, "heat": ("segment", "group"),
}  # fmt: skip
"""Where the splits of each kind go, in their order."""


def vis_state(panel: Panel, title: str) -> Json:
    """What goes, as a string, into the attribute `visState`."""
    schemas = _SCHEMAS.get(panel.kind, ())
    aggs = [_metric(str(at), each) for at, each in enumerate(panel.metrics, 1)]
    first = len(aggs) + 1
    for at, (split, schema) in enumerate(zip(panel.splits, schemas, strict=False)):
        aggs.append(_split(str(first + at), split, schema))
    return {
        "title": title,
        "type": _TYPES[panel.kind],
        "aggs": aggs,
        "params": _params(panel),
    }


def _metric(number: str, metric: Metric) -> Json:
    params = {"field": metric.field} if metric.field else {}
    return {
        "id": number, "enabled": True, "type": metric.kind, "schema": "metric",
        "params": {**params, "customLabel": metric.label},
    }  # fmt: skip


def _split(number: str, split: Split, schema: str) -> Json:
    match split:
        case Terms():
            kind, params = "terms", {
                "field": split.field, "orderBy": "1", "order": "desc", "size": split.size,
                "otherBucket": False, "otherBucketLabel": "Other", "missingBucket": False,
                "missingBucketLabel": "Missing", "customLabel": split.label or split.field,
            }  # fmt: skip
        case Filters():
            kind, params = "filters", {
                "filters": [
                    {"input": {"query": query, "language": "kuery"}, "label": label}
                    for label, query in split.queries
                ]
            }  # fmt: skip
        case Time():
            kind, params = "date_histogram", {
                "field": split.field, "useNormalizedOpenSearchInterval": True,
                "scaleMetricValues": False, "interval": "auto", "drop_partials": False,
                "min_doc_count": 1, "extended_bounds": {},
            }  # fmt: skip
    return {"id": number, "enabled": True, "type": kind, "schema": schema, "params": params}


def _params(panel: Panel) -> Json:
    match panel.kind:
        case "number":
            return _number(len(panel.splits))
        case "over_time":
            return _axes(panel, is_sideways=False)
        case "bars":
            return _axes(panel, is_sideways=True)
        case "pie":
            return {
                "type": "pie", "addTooltip": True, "addLegend": True, "legendPosition": "right",
                "isDonut": True,
                "labels": {"show": False, "values": True, "last_level": True, "truncate": 100},
            }  # fmt: skip
        case "table":
            return {
                "perPage": 15, "showPartialRows": False, "showMetricsAtAllLevels": False,
                "showTotal": False, "totalFunc": "sum", "percentageCol": "",
            }  # fmt: skip
        case "heat":
            return _heat()
        case "text":
            return {"fontSize": 12, "openLinksInNewTab": True, "markdown": panel.text}
        case "controls":
            return _controls()
    raise ValueError(f"{panel.key}: no such kind of panel: {panel.kind}")


def _number(splits: int) -> Json:
    return {
        "type": "metric", "addTooltip": True, "addLegend": False,
        "metric": {
            "percentageMode": False, "useRanges": False, "colorSchema": "Green to Red",
            "metricColorMode": "None", "colorsRange": [{"from": 0, "to": 10000}],
            "labels": {"show": True}, "invertColors": False,
            "style": {
                "bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "",
                "fontSize": 24 if splits else 30,
            },
        },
    }  # fmt: skip


def _axes(panel: Panel, *, is_sideways: bool) -> Json:
    metric = panel.metrics[0].label
    return {
        "type": "histogram",
        "grid": {"categoryLines": False},
        "categoryAxes": [{
            "id": "CategoryAxis-1", "type": "category",
            "position": "left" if is_sideways else "bottom", "show": True, "style": {},
            "scale": {"type": "linear"},
            "labels": {"show": True, "filter": not is_sideways, "truncate": 100, "rotate": 0},
            "title": {},
        }],
        "valueAxes": [{
            "id": "ValueAxis-1", "name": "BottomAxis-1" if is_sideways else "LeftAxis-1",
            "type": "value", "position": "bottom" if is_sideways else "left", "show": True,
            "style": {},
            "scale": {"type": "linear", "mode": "percentage" if panel.share else "normal"},
            "labels": {"show": True, "rotate": 0, "filter": is_sideways, "truncate": 100},
            "title": {"text": metric},
        }],
        "seriesParams": [{
            "show": True, "type": "histogram", "mode": "stacked",
            "data": {"label": metric, "id": "1"}, "valueAxis": "ValueAxis-1",
            "drawLinesBetweenPoints": True, "lineWidth": 2, "interpolate": "linear",
            "showCircles": True,
        }],
        "addTooltip": True, "addLegend": len(panel.splits) > 1, "legendPosition": "right",
        "times": [], "addTimeMarker": False, "labels": {"show": False},
        "thresholdLine": {
            "show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C",
        },
    }  # fmt: skip


def _heat() -> Json:
    return {
        "type": "heatmap", "addTooltip": True, "addLegend": True, "enableHover": False,
        "legendPosition": "right", "times": [], "colorsNumber": 4, "colorSchema": "Blues",
        "setColorRange": False, "colorsRange": [], "invertColors": False, "percentageMode": False,
        "valueAxes": [{
            "show": False, "id": "ValueAxis-1", "type": "value",
            "scale": {"type": "linear", "defaultYExtents": False},
            "labels": {"show": False, "rotate": 0, "overwriteColor": False, "color": "black"},
        }],
    }  # fmt: skip


def _controls() -> Json:
    return {
        "controls": [
            {
                "id": f"c{at}", "fieldName": name, "parent": "", "label": label, "type": "list",
                "options": {
                    "type": "terms", "multiselect": True, "dynamicOptions": True, "size": 20,
                    "order": "desc",
                },
                "indexPatternRefName": f"control_{at}_index_pattern",
            }
            for at, (name, label) in enumerate(CONTROLS)
        ],
        "updateFiltersOnChange": True, "useTimeFilter": True, "pinFilters": False,
    }  # fmt: skip
