"""What an answer of OpenSearch means for what was sent, told by `error.type`, not by the status.

    DONE      it is in, also when it was in before (409: the same event, sent again)
    RETRY     the cluster cannot now; the same again, later
    SPLIT     too much at once: halves
    POISON    this event as it is; another form of it may do
    HOLD      somebody has to change something (rights, a block, a limit); tell, wait, try again
    BUG       the request itself is wrong, which no event and no operator can cause

A status of its own is only looked at where there is no JSON: a proxy, 401, 413.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Meaning(Enum):
    """What to do about an answer."""

    DONE = "done"
    RETRY = "retry"
    SPLIT = "split"
    POISON = "poison"
    HOLD = "hold"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Judgement:
    """An answer, understood."""

    meaning: Meaning
    type: str = ""
    reason: str = ""

    @property
    def is_too_much(self) -> bool:
        """The cluster has more to do than it can, so less at once may do."""
        return self.type in _TOO_MUCH

    def __str__(self) -> str:
        return f"{self.type}: {self.reason}" if self.reason else self.type


_DONE = Judgement(Meaning.DONE)
_POISON = frozenset({
    "mapper_parsing_exception", "illegal_argument_exception", "parsing_exception",
    "stream_constraints_exception", "not_x_content_exception", "document_parsing_exception",
    "max_bytes_length_exceeded_exception", "illegal_state_exception",
})  # fmt: skip
"""Of single items only; and everything that ends in `parse_exception`."""
_HOLD = frozenset({
    "security_exception", "validation_exception", "index_closed_exception",
    "index_not_found_exception", "access_control_exception",
})  # fmt: skip
_RETRY = frozenset({
    "rejected_execution_exception", "unavailable_shards_exception", "es_rejected_execution",
    "opensearch_rejected_execution_exception", "cluster_manager_not_discovered_exception",
    "master_not_discovered_exception", "process_cluster_event_timeout_exception",
    "node_closed_exception", "node_not_connected_exception", "circuit_breaking_exception",
    "no_shard_available_action_exception", "shard_not_in_primary_mode_exception",
    "receive_timeout_transport_exception", "timeout_exception", "task_cancelled_exception",
    "alias_not_found_exception",
})  # fmt: skip
_TOO_MUCH = frozenset({
    "rejected_execution_exception", "es_rejected_execution", "circuit_breaking_exception",
    "opensearch_rejected_execution_exception", "status 429",
})  # fmt: skip
_BUG = frozenset({"invalid_index_name_exception", "action_request_validation_exception"})
REASON_MAX_CHARACTERS = 400


def of_item(status: int, error: Any) -> Judgement:
    """One item of a bulk answer."""
    if error is None:
        if 200 <= status < 300:
            return _DONE
        return Judgement(Meaning.RETRY, f"status {status}")
    kind, reason = _named(error)
    if kind == "version_conflict_engine_exception":
        return _DONE
    meaning = _common(kind, status)
    if meaning is None:
        if kind in _POISON or kind.endswith("parse_exception"):
            meaning = Meaning.POISON
        elif status >= 500 or status == 429:
            meaning = Meaning.RETRY
        else:
            meaning = Meaning.HOLD
    return Judgement(meaning, kind, reason)


def of_request(status: int, body: Any) -> Judgement:
    """A whole request; `body` is its JSON or None."""
    if 200 <= status < 300:
        return _DONE
    if status == 413:
        return Judgement(Meaning.SPLIT, "status 413", "the request is too large")
    if status == 401:
        return Judgement(Meaning.HOLD, "status 401", "user or password is not accepted")
    error = body.get("error") if isinstance(body, dict) else None
    kind, reason = _named(error)
    meaning = _common(kind, status)
    if meaning is None:
        if status >= 500 or status == 429:
            meaning = Meaning.RETRY
        elif status == 400 or status in (405, 406):
            meaning = Meaning.BUG
        else:
            meaning = Meaning.HOLD
    if meaning is Meaning.RETRY and "[coordinating_and_primary_bytes=" in reason:
        meaning = Meaning.SPLIT
    return Judgement(meaning, kind or f"status {status}", reason)


def _common(kind: str, status: int) -> Meaning | None:
    if kind == "cluster_block_exception":
        # 429: the disk is nearly full; 503: no state yet; 403: somebody set a block.
        return Meaning.HOLD if status in (403, 429) else Meaning.RETRY
    if kind in _RETRY:
        return Meaning.RETRY
    if kind in _HOLD:
        return Meaning.HOLD
    if kind in _BUG:
        return Meaning.BUG
    return None


def _named(error: Any) -> tuple[str, str]:
    if isinstance(error, str):
        return "", error[:REASON_MAX_CHARACTERS]
    if not isinstance(error, dict):
        return "", ""
    reason = str(error.get("reason") or "")
    cause = error.get("caused_by")
    if isinstance(cause, dict) and cause.get("reason"):
        reason += f" <- {cause.get('type')}: {cause['reason']}"
    return str(error.get("type") or ""), reason[:REASON_MAX_CHARACTERS]
