"""A signed request as this room sees it, and its answer; nothing of HTTP beyond that."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentrail_aggregator.access.scope import ALLOWED, Action, Role, Scope


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose signature was verified."""

    service: str
    """Of the credential scope: cloudtrail, cloudtrail-data, sts, organizations."""
    region: str
    """Of the credential scope, which is how AWS's clients name the region they mean."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    query: Mapping[str, str]
    body: bytes
    key_id: str
    role: Role
    scope: Scope
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def may(self, action: Action) -> bool:
        return action in ALLOWED[self.role]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with what the history says of the call."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)
    operation: str = ""
    """The eventName; empty if the request named none that exists."""
    read_only: bool = True
    parameters: dict[str, Any] | None = None
    """What was asked, without the content of events."""
    error_code: str = ""
    error_message: str = ""
