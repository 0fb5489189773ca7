"""What OpenTrail does to a cluster beside sending events: template, days, counts.

Everything is idempotent: it may be done again after a crash at any point, by any number of senders.
"""

import threading
from typing import Any

import orjson

from opentrail.errors import OpenTrailError
from opentrail_aggregator.opensearch import template as mapped
from opentrail_aggregator.opensearch.classify import Judgement, Meaning, of_request
from opentrail_aggregator.opensearch.settings import OpenSearchSettings
from opentrail_aggregator.opensearch.wire import Answer, Wire

_ORDINALS = 0xFFFF


class RefusedError(OpenTrailError):
    """The cluster understood and said no; `judgement` says what that means."""

    def __init__(self, what: str, judgement: Judgement) -> None:
        super().__init__(f"OpenSearch, {what}: {judgement}")
        self.judgement = judgement


class Cluster:
    """One cluster, from any thread."""

    def __init__(self, settings: OpenSearchSettings, wire: Wire | None = None) -> None:
        self.settings = settings
        self.wire = wire or Wire(settings)
        self._days: set[str] = set()
        self._lock = threading.Lock()

    def call(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; RefusedError unless it is a success."""
        answer = self.wire.ask(method, path, None if body is None else orjson.dumps(body))
        return accepted(what, answer)

    def install_template(self) -> str:
        """Make the template ours and current; what an operator should know, or empty."""
        settings = self.settings
        wanted = mapped.template(settings.shards, settings.replicas, settings.refresh)
        path = f"/_index_template/{mapped.TEMPLATE}"
        answer = self.wire.ask("GET", path)
        if answer.status != 404:
            found = accepted("reading the index template", answer)["index_templates"]
            there = found[0]["index_template"] if found else {}
            version = (there.get("_meta") or {}).get("opentrail")
            if not isinstance(version, int):
                return (
                    f"the index template {mapped.TEMPLATE} is not OpenTrail's and was left as it "
                    "is; delete or rename it, or events may be refused"
                )
            if version > mapped.VERSION:
                return (
                    f"the index template {mapped.TEMPLATE} is of a newer OpenTrail "
                    f"({version}, this is {mapped.VERSION}) and was left as it is"
                )
            if version == mapped.VERSION:
                if same(wanted, there):
                    return ""
                return (
                    f"the index template {mapped.TEMPLATE} was changed by somebody and is kept so; "
                    "delete it to get OpenTrail's own back"
                )
        self.call("installing the index template", "PUT", path, wanted)
        return ""

    def days(self) -> set[str]:
        """The event days that have an index."""
        path = f"/_resolve/index/{mapped.ALIAS}-*?expand_wildcards=all"
        answer = self.wire.ask("GET", path)
        if answer.status == 404:
            return set()
        found = accepted("listing the days", answer)
        days = {mapped.day_of_index(each["name"]) for each in found.get("indices", ())} - {""}
        with self._lock:
            self._days = set(days)
        return days

    def make_day(self, day: str) -> None:
        """Afterwards the day's index is there, with the day as its creation date."""
        with self._lock:
            if day in self._days:
                return
        answer = self.wire.ask(
            "PUT", f"/{mapped.index_of(day)}", orjson.dumps(mapped.day_settings(day))
        )
        error = (answer.json() or {}).get("error") if answer.status == 400 else None
        if not (
            isinstance(error, dict) and error.get("type") == "resource_already_exists_exception"
        ):
            accepted(f"making the index of {day}", answer)
        with self._lock:
            self._days.add(day)

    def forget_days(self) -> None:
        """Somebody else may have removed some: they are looked for again."""
        with self._lock:
            self._days.clear()

    def drop_day(self, day: str) -> None:
        """Afterwards the day's index is gone."""
        answer = self.wire.ask("DELETE", f"/{mapped.index_of(day)}")
        if answer.status != 404:
            accepted(f"dropping the index of {day}", answer)
        with self._lock:
            self._days.discard(day)

    def refresh(self) -> None:
        """Everything that was sent can be counted."""
        self.call("refreshing", "POST", f"/{mapped.ALIAS}-*/_refresh?ignore_unavailable=true")

    def counts(self, log_id: str, through: int) -> dict[str, int]:
        """Documents by event day that came through this log, up to a log position."""
        body = {
            "size": 0,
            "query": {"bool": {"filter": [
                {"term": {"opentrail.log": log_id}},
                {"range": {"opentrail.position": {"lte": through << 16 | _ORDINALS}}},
            ]}},
            "aggs": {"days": {"terms": {"field": "_index", "size": 60_000}}},
        }  # fmt: skip
        found = self.call("counting", "POST", search_path("request_cache=false"), body)
        if found["_shards"]["failed"]:
            raise RefusedError(
                "counting", Judgement(Meaning.RETRY, "shards", str(found["_shards"])[:400])
            )
        buckets = (found.get("aggregations") or {}).get("days", {}).get("buckets", [])
        return {mapped.day_of_index(each["key"]): each["doc_count"] for each in buckets}

    def origins(self, indices_and_keys: list[tuple[str, str]]) -> list[str]:
        """By which log each of these documents came; empty for one that is not there."""
        docs = [
            {"_index": index, "_id": key, "_source": ["opentrail.log"]}
            for index, key in indices_and_keys
        ]
        found = self.call("reading documents", "POST", "/_mget", {"docs": docs})["docs"]
        return [
            str(((each.get("_source") or {}).get("opentrail") or {}).get("log", ""))
            for each in found
        ]


def search_path(*options: str) -> str:
    """Where all days are asked; no days at all is an empty answer."""
    return f"/{mapped.ALIAS}-*/_search?" + "&".join(
        ("ignore_unavailable=true", "allow_no_indices=true", *options)
    )


def accepted(what: str, answer: Answer) -> Any:
    """The JSON of a success; RefusedError for anything else."""
    body = answer.json()
    judgement = of_request(answer.status, body)
    if judgement.meaning is not Meaning.DONE:
        if not judgement.reason:
            text = answer.body[:300].decode("utf-8", "replace")
            judgement = Judgement(judgement.meaning, judgement.type, text)
        raise RefusedError(what, judgement)
    return body


def same(wanted: Any, there: Any) -> bool:
    """Whether everything of `wanted` is `there`, written as the server writes it back."""
    if isinstance(wanted, dict):
        if not isinstance(there, dict):
            return False
        return _flat(wanted).items() <= _flat(there).items()
    return bool(wanted == there)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Scalars by dotted path; the server nests settings and writes numbers as text."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, each in value.items():
            found.update(_flat(each, f"{path}.{name}" if path else str(name)))
        return found
    if isinstance(value, list):
        return {path: ",".join(map(str, value)).lower()}
    return {path.replace("settings.analysis", "settings.index.analysis"): str(value).lower()}
