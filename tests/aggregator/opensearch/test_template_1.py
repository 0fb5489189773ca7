"""Days that an older OpenTrail wrote stay, and are found by the same questions."""

from collections.abc import Iterator
from typing import Any

import pytest

from opentrail.errors import UsageError
from opentrail_aggregator.opensearch import template
from tests.aggregator.opensearch.store import DirectStore, document, settings_for
from tests.aggregator.search.contract import NOW, when
from tests.real.opensearch import OpenSearchNode

pytestmark = pytest.mark.slow


@pytest.fixture
def empty(opensearch_node: OpenSearchNode) -> Iterator[DirectStore]:
    made = DirectStore(opensearch_node)
    yield made
    made.close()
    opensearch_node.clear()


def record(name: str) -> bytes:
    return (
        f'{{"eventID":"{name}","eventName":"PutObject","eventTime":"{when(NOW)}","requestID":"r-1",'
        '"userIdentity":{"type":"IAMUser","userName":"ada","more":"x"},'
        '"requestParameters":{"bucketName":"logs"},"errorMessage":"not allowed"}'
    ).encode()


def as_version_1() -> dict[str, Any]:
    """The template as it was: every keyword had a column and an index."""
    older: dict[str, Any] = template.template(1, 0, "1s")
    older["version"] = older["_meta"]["opentrail"] = 1
    mapped = older["template"]["mappings"]
    mapped["_meta"]["opentrail"] = 1
    word = {"type": "keyword", "ignore_above": 8191}
    for name in ("eventID", "requestID", "sharedEventID", "eventId"):
        mapped["properties"][name] = word
    mapped["properties"]["opentrail"]["properties"]["id"] = word
    return older


LEAVES_OF_1 = [
    "eventID\0old", "eventName\0PutObject", "requestID\0r-1", "userIdentity.type\0IAMUser",
    "userIdentity.userName\0ada", "userIdentity.more\0x", "requestParameters.bucketName\0logs",
    "errorMessage\0not allowed", "opentrail.account\0111122223333", "opentrail.region\0eu-west-1",
    "Username\0ada", "_has\0userIdentity", "_has\0requestParameters",
]  # fmt: skip

QUESTIONS = [
    "eventName:PutObject", "eventName:Put*", "userIdentity.userName:ada", "userIdentity.more:x",
    "Username:ada", "requestID:r-1", "requestParameters.bucketName:l?gs", "_exists_:requestID",
    "_exists_:userIdentity.more", "_exists_:requestParameters", "opentrail.region:eu-*",
    '"not allowed"', "NOT errorCode:*", "eventID:old OR eventID:new",
]  # fmt: skip


def fill_both(store: DirectStore, node: OpenSearchNode) -> None:
    """One event as version 1 wrote it into its day, then the update, then one of now."""
    node.ask("PUT", f"/_index_template/{template.TEMPLATE}", as_version_1())
    day, old = document(record("old"), event_id="old")
    store.cluster.make_day(day)
    body = old.body.replace(
        old.body[old.body.index(b'"leaf":[') : old.body.index(b"]", old.body.index(b'"leaf":['))],
        b'"leaf":[' + ",".join(f'"{e}"' for e in LEAVES_OF_1).replace("\0", "\\u0000").encode(),
        1,
    )
    grown = int(body[len(b'{"opentrail":{"head":"') :][:8]) + len(body) - len(old.body)
    old.body = body.replace(body[22:30], b"%08d" % grown, 1)
    assert store.send([(day, old)]).held == []
    assert store.cluster.install_template() == ""
    assert store.cluster.install_template() == ""
    store.send([document(record("new"), event_id="new")])


def test_a_day_of_template_1_takes_new_events_and_both_are_found_and_counted_once(
    empty: DirectStore, opensearch_node: OpenSearchNode
) -> None:
    fill_both(empty, opensearch_node)
    _, found = opensearch_node.ask("GET", f"/_index_template/{template.TEMPLATE}")
    installed = found["index_templates"][0]["index_template"]
    assert installed["_meta"]["opentrail"] == template.VERSION
    for question in QUESTIONS:
        hits = empty.engine.search(question).hits
        assert [hit.event_id for hit in hits] == ["new", "old"], question
        assert [hit.record for hit in hits] == [record("new"), record("old")], question
    for field in ("eventName", "Username", "userIdentity.more", "requestParameters.bucketName"):
        assert [each[1] for each in empty.engine.count("*", field).buckets] == [2], field


def test_without_free_text_fields_are_found_and_words_are_refused(
    empty: DirectStore, opensearch_node: OpenSearchNode
) -> None:
    day, made = document(record("new"), event_id="new")
    made.has_words = False
    made.fall_back()
    assert b'"text"' not in made.body
    empty.send([(day, made)])
    assert [hit.event_id for hit in empty.engine.search("eventName:PutObject").hits] == ["new"]
    empty.cluster.settings = settings_for(opensearch_node, free_text=False)
    assert [hit.event_id for hit in empty.engine.search("eventName:PutObject").hits] == ["new"]
    for question in ("allowed", "eventName:PutObject NOT allow*", "eventName:x OR allowed"):
        with pytest.raises(UsageError, match=r"opensearch\.free_text"):
            empty.engine.search(question)
