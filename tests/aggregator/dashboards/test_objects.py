"""What Dashboards does not check when it imports, and what then breaks a panel when it is opened.

Each test is a rule; `broken` files show that the rules about structure can tell a wrong file.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opentrail_aggregator.dashboards.objects import BOARDS, ndjson, saved_objects
from opentrail_aggregator.opensearch.template import mappings
from tests.aggregator.dashboards.dql import fields, parse

Json = dict[str, Any]
OBJECTS = saved_objects()
PATTERN = "opentrail-events-*"
VERSIONS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0",
            "dashboard": "7.9.3"}  # fmt: skip
META = "kibanaSavedObjectMeta"
ALLOWED = {
    "index-pattern": {"title", "timeFieldName", "fieldFormatMap", "sourceFilters"},
    "search": {"title", "description", "hits", "columns", "sort", "version", META},
    "visualization": {"title", "description", "version", "visState", "uiStateJSON",
                      "savedSearchRefName", META},
    "dashboard": {"title", "description", "hits", "version", "panelsJSON", "optionsJSON",
                  "timeRestore", "timeFrom", "timeTo", "refreshInterval", META},
}  # fmt: skip
STRINGS = ("visState", "uiStateJSON", "panelsJSON", "optionsJSON", "sourceFilters",
           "fieldFormatMap", "fields")  # fmt: skip
SCHEMAS = {
    "metric": {"metric", "group"}, "histogram": {"metric", "segment", "group", "split"},
    "horizontal_bar": {"metric", "segment", "group", "split"},
    "pie": {"metric", "segment", "split"}, "table": {"metric", "bucket", "split"},
    "heatmap": {"metric", "segment", "group"}, "markdown": set(), "input_control_vis": set(),
}  # fmt: skip
PARAMS_TYPE = {"metric": "metric", "histogram": "histogram", "horizontal_bar": "histogram",
               "pie": "pie", "heatmap": "heatmap"}  # fmt: skip
NEEDED = {
    "metric": {"addTooltip", "addLegend", "metric"},
    "histogram": {"grid", "categoryAxes", "valueAxes", "seriesParams", "thresholdLine", "times",
                  "labels", "addLegend", "legendPosition", "addTimeMarker"},
    "pie": {"isDonut", "labels", "legendPosition"},
    "table": {"perPage", "showPartialRows", "showMetricsAtAllLevels", "showTotal", "totalFunc",
              "percentageCol"},
    "heatmap": {"colorsNumber", "colorSchema", "setColorRange", "colorsRange", "valueAxes",
                "percentageMode", "times"},
    "markdown": {"fontSize", "openLinksInNewTab", "markdown"},
    "input_control_vis": {"controls", "updateFiltersOnChange", "useTimeFilter", "pinFilters"},
}  # fmt: skip
NEEDED["horizontal_bar"] = NEEDED["histogram"]


def of_type(kind: str) -> list[Json]:
    return [each for each in OBJECTS if each["type"] == kind]


def attribute(saved: Json, name: str) -> Any:
    return json.loads(saved["attributes"][name])


def source(saved: Json) -> Json:
    found: Json = json.loads(saved["attributes"][META]["searchSourceJSON"])
    return found


def columns() -> dict[str, str]:
    """Field and type of all that is mapped."""

    def walk(properties: Json, prefix: str) -> Iterator[tuple[str, str]]:
        for name, each in properties.items():
            if each.get("type", "object") == "object":
                yield from walk(each["properties"], f"{prefix}{name}.")
            else:
                yield prefix + name, each["type"]

    return dict(walk(mappings()["properties"], "")) | {"_index": "keyword"}


MAPPED = columns()


def may_be_asked(name: str) -> bool:
    """Mapped, or below a free-form member."""
    root = name.partition(".")[0]
    return name in MAPPED or MAPPED.get(root) == "flat_object"


def vises() -> list[Any]:
    return [pytest.param(each, id=each["id"]) for each in of_type("visualization")]


def everything() -> list[Any]:
    return [pytest.param(each, id=each["id"]) for each in OBJECTS]


def test_there_are_six_dashboards_and_one_index_pattern() -> None:
    titles = [each["attributes"]["title"] for each in of_type("dashboard")]
    assert titles == [each.title for each in BOARDS]
    assert len(titles) == 6
    assert len(of_type("index-pattern")) == 1


def test_r1_one_object_a_line_each_once() -> None:
    data = ndjson(OBJECTS)
    assert data.endswith(b"}\n")
    lines = data.splitlines()
    assert len(lines) == len(OBJECTS) <= 10_000
    assert len(data) < 25 << 20
    keys = {"type", "id", "attributes", "references", "migrationVersion"}
    assert all(set(json.loads(line)) <= keys for line in lines)
    assert len({(each["type"], each["id"]) for each in OBJECTS}) == len(OBJECTS)


@pytest.mark.parametrize("saved", everything())
def test_r2_the_version_is_the_newest_that_2_19_and_3_know(saved: Json) -> None:
    assert saved["migrationVersion"] == {saved["type"]: VERSIONS[saved["type"]]}


def used_names(saved: Json) -> list[str]:
    """The references that the strings of an object use."""
    text = json.dumps(saved["attributes"]).replace("\\", "")
    return re.findall(r'"(?:indexRefName|indexPatternRefName|panelRefName)":"([^"]+)"', text)


def dangling(objects: list[Json]) -> list[str]:
    there = {(each["type"], each["id"]) for each in objects}
    wrong = []
    for saved in objects:
        names = [each["name"] for each in saved["references"]]
        if sorted(names) != sorted(used_names(saved)) or len(set(names)) != len(names):
            wrong.append(f"{saved['id']}: names")
        wrong += [
            f"{saved['id']}: {each['id']}"
            for each in saved["references"]
            if (each["type"], each["id"]) not in there
        ]
    return wrong


def test_r3_every_reference_is_used_and_in_the_file() -> None:
    assert dangling(OBJECTS) == []
    assert dangling(saved_objects("team-a")) == []


@pytest.mark.parametrize(
    "breaking",
    [
        lambda found: found.pop(0),
        lambda found: found[1]["references"].pop(),
        lambda found: found[-1]["references"].append(found[-1]["references"][0]),
        lambda found: found[-1]["references"][0].update(id="elsewhere"),
    ],
)
def test_r3_tells_a_broken_file(breaking: Callable[[list[Json]], Any]) -> None:
    found = saved_objects()
    breaking(found)
    assert dangling(found) != []


@pytest.mark.parametrize("saved", everything())
def test_r4_only_known_attributes_a_title_and_a_plain_id(saved: Json) -> None:
    assert set(saved["attributes"]) <= ALLOWED[saved["type"]]
    assert saved["attributes"]["title"]
    assert re.fullmatch(r"[a-z0-9-]+", saved["id"])


@pytest.mark.parametrize("saved", everything())
def test_r5_what_is_json_in_a_string_can_be_read(saved: Json) -> None:
    for name in STRINGS:
        value = saved["attributes"].get(name)
        assert value is None or isinstance(value, str)
        assert value is None or json.loads(value) is not None
    if saved["type"] != "index-pattern":
        found = source(saved)
        assert "index" not in found
        assert found["query"]["language"] in ("kuery", "lucene")
        assert found["filter"] == []


@pytest.mark.parametrize("saved", of_type("dashboard"), ids=lambda each: str(each["id"]))
def test_r6_panels_lie_side_by_side_within_the_grid(saved: Json) -> None:
    panels = attribute(saved, "panelsJSON")
    taken: set[tuple[int, int]] = set()
    for at, panel in enumerate(panels):
        assert panel["panelRefName"] == f"panel_{at}"
        assert not {"id", "type"} & set(panel)
        assert re.fullmatch(r"\d+\.\d+\.\d+", panel["version"])
        assert isinstance(panel["embeddableConfig"], dict)
        grid = panel["gridData"]
        assert panel["panelIndex"] == grid["i"] == str(at + 1)
        assert grid["x"] >= 0 <= grid["y"]
        assert grid["x"] + grid["w"] <= 48
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                 for y in range(grid["y"], grid["y"] + grid["h"])}  # fmt: skip
        assert cells
        assert not cells & taken
        taken |= cells
    # The first row narrows, the last one shows the events, each visualisation is there once.
    shown = [each["id"] for each in saved["references"]]
    assert shown[0].endswith("-controls")
    assert saved["references"][-1]["type"] == "search"
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("saved", of_type("dashboard"), ids=lambda each: str(each["id"]))
def test_r7_a_dashboard_brings_its_time_and_options(saved: Json) -> None:
    assert set(attribute(saved, "optionsJSON")) == {"useMargins", "hidePanelTitles"}
    attributes = saved["attributes"]
    assert attributes["timeRestore"] is True
    assert attributes["timeFrom"] == "now-24h"
    assert attributes["timeTo"] == "now"
    assert set(attributes["refreshInterval"]) <= {"pause", "value", "display", "section"}
    assert "searchSourceJSON" in attributes[META]


def test_r8_the_index_pattern_finds_all_days_and_their_time() -> None:
    (saved,) = of_type("index-pattern")
    assert saved["attributes"]["title"] == PATTERN
    assert MAPPED[saved["attributes"]["timeFieldName"]] == "date"
    assert "fields" not in saved["attributes"]
    hidden = [each["value"] for each in attribute(saved, "sourceFilters")]
    assert hidden
    assert all(name in MAPPED for name in hidden)


@pytest.mark.parametrize("saved", vises())
def test_r9_a_visualisation_is_whole(saved: Json) -> None:
    state = attribute(saved, "visState")
    assert set(state) == {"title", "type", "aggs", "params"}
    assert state["title"] == saved["attributes"]["title"]
    assert NEEDED[state["type"]] <= set(state["params"])
    assert state["params"].get("type") == PARAMS_TYPE.get(state["type"])


@pytest.mark.parametrize("saved", vises())
def test_r10_aggregations_are_on_columns_that_exist(saved: Json) -> None:
    state = attribute(saved, "visState")
    aggs = state["aggs"]
    ids = [each["id"] for each in aggs]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(each, str) for each in ids)
    if not SCHEMAS[state["type"]]:
        assert aggs == []
        return
    assert [each for each in aggs if each["schema"] == "metric"]
    for each in aggs:
        assert each["enabled"] is True
        assert each["schema"] in SCHEMAS[state["type"]]
        if each["type"] in ("count", "filters"):
            assert "field" not in each["params"]
        else:
            assert MAPPED[each["params"]["field"]] in ("keyword", "date", "long", "ip")
        if each["type"] == "cardinality":
            assert MAPPED[each["params"]["field"]] == "keyword"
        if each["type"] in ("max", "date_histogram"):
            assert MAPPED[each["params"]["field"]] == "date"


@pytest.mark.parametrize("saved", vises())
def test_r11_buckets_are_ordered_bounded_and_named(saved: Json) -> None:
    aggs = attribute(saved, "visState")["aggs"]
    metrics = {each["id"] for each in aggs if each["schema"] == "metric"}
    for each in aggs:
        params = each["params"]
        assert not {"time_zone", "timeRange", "customInterval", "row"} & set(params)
        if each["type"] == "terms":
            assert params["orderBy"] in metrics | {"_key"}
            assert params["order"] in ("asc", "desc")
            assert 1 <= params["size"] <= 500
            assert params["missingBucket"] is False
        if each["type"] == "filters":
            labels = [one["label"] for one in params["filters"]]
            assert all(labels)
            assert len(set(labels)) == len(labels)
            assert all(set(one["input"]) == {"query", "language"} for one in params["filters"])
        if each["type"] == "date_histogram":
            assert params["interval"] == "auto"
            assert "useNormalizedOpenSearchInterval" in params


@pytest.mark.parametrize("saved", vises())
def test_r12_a_visualisation_asks_the_pattern_if_it_counts_anything(saved: Json) -> None:
    has_aggs = bool(attribute(saved, "visState")["aggs"])
    assert ("indexRefName" in source(saved)) == has_aggs
    kinds = {each["type"] for each in saved["references"]}
    is_text = attribute(saved, "visState")["type"] == "markdown"
    assert kinds == (set() if is_text else {"index-pattern"})


def test_r13_controls_offer_columns() -> None:
    rows = [each for each in of_type("visualization") if each["id"].endswith("-controls")]
    assert len(rows) == 6
    for saved in rows:
        for at, each in enumerate(attribute(saved, "visState")["params"]["controls"]):
            assert each["indexPatternRefName"] == f"control_{at}_index_pattern"
            assert MAPPED[each["fieldName"]] == "keyword"
            assert each["parent"] == ""


@pytest.mark.parametrize("saved", vises())
def test_r14_series_are_drawn_on_axes_that_exist(saved: Json) -> None:
    state = attribute(saved, "visState")
    metrics = {each["id"] for each in state["aggs"] if each["schema"] == "metric"}
    axes = {each["id"] for each in state["params"].get("valueAxes", ())}
    for series in state["params"].get("seriesParams", ()):
        assert series["data"]["id"] in metrics
        assert series["valueAxis"] in axes


def test_r15_saved_searches_show_fields_newest_first() -> None:
    assert len(of_type("search")) == 6
    for saved in of_type("search"):
        assert saved["attributes"]["sort"] == [["eventTime", "desc"]]
        assert saved["attributes"]["columns"]
        assert all(may_be_asked(name) for name in saved["attributes"]["columns"])


@pytest.mark.parametrize("saved", everything())
def test_r16_queries_name_fields_that_can_be_asked(saved: Json) -> None:
    queries = []
    if saved["type"] != "index-pattern":
        queries.append(source(saved)["query"]["query"])
    for each in json.loads(saved["attributes"].get("visState", '{"aggs":[]}'))["aggs"]:
        queries += [one["input"]["query"] for one in each["params"].get("filters", ())]
    named = set().union(*(fields(parse(each)) for each in queries))
    assert {name for name in named if not may_be_asked(name)} == set()


def test_r17_nothing_is_drawn_by_what_an_operator_may_have_switched_off() -> None:
    types = {attribute(each, "visState")["type"] for each in of_type("visualization")}
    assert types <= set(SCHEMAS)
    assert not types & {"vega", "metrics", "timelion"}


def test_a_workspace_has_ids_of_its_own_and_the_same_content() -> None:
    plain, team = saved_objects(), saved_objects("team-a")
    assert {each["id"] for each in plain} & {each["id"] for each in team} == set()
    assert {e["id"] for e in team} & {e["id"] for e in saved_objects("team-b")} == set()
    assert [each["attributes"] for each in plain] == [each["attributes"] for each in team]
    assert saved_objects("team-a") == team
