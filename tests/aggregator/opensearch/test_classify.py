"""Every error that a real server was seen to give, and what is done about it.

The texts are those of OpenSearch 3.4; the status alone would decide many of them wrongly.
"""

from typing import Any

import pytest

from opentrail_aggregator.opensearch.classify import Meaning, of_item, of_request


def error(kind: str, reason: str = "", cause: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "reason": reason}
    return {**found, "caused_by": {"type": cause, "reason": "x"}} if cause else found


ITEMS = [
    (201, None, Meaning.DONE),
    (409, error("version_conflict_engine_exception", "[id1]: version conflict"), Meaning.DONE),
    (429, error("rejected_execution_exception", "rejected execution of …"), Meaning.RETRY),
    (429, error("cluster_block_exception", "blocked by: [TOO_MANY_REQUESTS/12/disk usage "
                "exceeded flood-stage watermark"), Meaning.HOLD),
    (403, error("cluster_block_exception", "[FORBIDDEN/8/index write (api)]"), Meaning.HOLD),
    (503, error("unavailable_shards_exception", "primary shard is not active"), Meaning.RETRY),
    (400, error("validation_exception", "this action would add [1] total shards"), Meaning.HOLD),
    (400, error("index_closed_exception", "closed"), Meaning.HOLD),
    (404, error("index_not_found_exception", "no such index"), Meaning.HOLD),
    (400, error("invalid_index_name_exception", "bad"), Meaning.BUG),
    (403, error("security_exception", "no permissions for [indices:admin/create]"), Meaning.HOLD),
    (400, error("mapper_parsing_exception", "object mapping for [x] tried to"), Meaning.POISON),
    (400, error("illegal_argument_exception", "immense term in field"), Meaning.POISON),
    (400, error("parsing_exception", "unexpected token [VALUE_STRING]"), Meaning.POISON),
    (400, error("json_parse_exception", "Duplicate field 'a'"), Meaning.POISON),
    (400, error("x_content_parse_exception", "x"), Meaning.POISON),
    (400, error("parse_exception", "The depth of the field has exceeded"), Meaning.POISON),
    (400, error("stream_constraints_exception", "nesting depth (1001)"), Meaning.POISON),
    (400, error("not_x_content_exception", "not x-content"), Meaning.POISON),
    (400, error("something_new_exception", "of a later version"), Meaning.HOLD),
    (500, error("something_new_exception", "of a later version"), Meaning.RETRY),
]  # fmt: skip

REQUESTS = [
    (200, {"errors": False}, Meaning.DONE),
    (429, {"error": error("rejected_execution_exception", "rejected execution of x")},
     Meaning.RETRY),
    (429, {"error": error("rejected_execution_exception", "rejected execution of coordinating "
                          "operation [coordinating_and_primary_bytes=3044254, …]")}, Meaning.SPLIT),
    (403, {"error": error("cluster_block_exception", "[FORBIDDEN/6/cluster read-only (api)]")},
     Meaning.HOLD),
    (503, {"error": error("cluster_block_exception", "[SERVICE_UNAVAILABLE/1/state]")},
     Meaning.RETRY),
    (503, {"error": error("cluster_manager_not_discovered_exception")}, Meaning.RETRY),
    (400, {"error": error("illegal_argument_exception", "must be terminated by a newline")},
     Meaning.BUG),
    (400, {"error": error("action_request_validation_exception", "id is too long")}, Meaning.BUG),
    (413, None, Meaning.SPLIT),
    (406, {"error": "Content-Type header [x] is not supported"}, Meaning.BUG),
    (405, {"error": "Incorrect HTTP method"}, Meaning.BUG),
    (401, None, Meaning.HOLD),
    (403, {"error": error("security_exception", "no permissions")}, Meaning.HOLD),
    (502, None, Meaning.RETRY),
    (500, None, Meaning.RETRY),
]  # fmt: skip


@pytest.mark.parametrize(("status", "told", "meaning"), ITEMS)
def test_an_item_means(status: int, told: Any, meaning: Meaning) -> None:
    judgement = of_item(status, told)
    assert judgement.meaning is meaning
    assert meaning is Meaning.DONE or judgement.type == told["type"]


@pytest.mark.parametrize(("status", "body", "meaning"), REQUESTS)
def test_a_request_means(status: int, body: Any, meaning: Meaning) -> None:
    assert of_request(status, body).meaning is meaning


def test_the_cause_is_part_of_what_is_told() -> None:
    judgement = of_item(400, error("mapper_parsing_exception", "failed", "illegal_state_exception"))
    assert str(judgement) == "mapper_parsing_exception: failed <- illegal_state_exception: x"
