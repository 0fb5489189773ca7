"""Puts the saved objects into a Dashboards, and reads them back before it says they are there.

An answer of 200 proves nothing: with one missing reference or conflict nothing at all is written,
and the answer still lists objects as imported. What counts is what Dashboards gives back then.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from opentrail.errors import OpenTrailError, UsageError
from opentrail_aggregator.dashboards.objects import PATTERN_TITLE, Json, ndjson, saved_objects
from opentrail_aggregator.opensearch.wire import Answer, Wire

_FILE = "opentrail.ndjson"
_BOUNDARY = "opentrail-saved-objects-7d1c6f0e"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InstallError(OpenTrailError):
    """Dashboards did not take the objects, or does not have them."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is there now, as read back."""

    objects: int
    has_index: bool | None
    """Whether some day's index is there to show; None where Dashboards would not say."""
    is_default: bool
    """The index pattern was made the default, since there was none."""


class Dashboards:
    """One Dashboards, one tenant of it, and perhaps one workspace."""

    def __init__(self, wire: Wire, tenant: str = "global", workspace: str = "") -> None:
        if workspace and not _NAME.fullmatch(workspace):
            raise UsageError(
                f"--workspace {workspace!r} is no id of a workspace, as in its address"
            )
        self._wire = wire
        self._workspace = workspace
        self._headers = {"osd-xsrf": "true"}
        if tenant:
            if not tenant.isascii() or not tenant.isprintable():
                raise UsageError(f"--tenant {tenant!r} is no name of a tenant")
            self._headers["securitytenant"] = tenant

    def install(self) -> Installed:
        """Import all objects over what is there; InstallError unless they are then there."""
        objects = saved_objects(self._workspace)
        self._import(objects)
        self._read_back(objects)
        return Installed(len(objects), self._has_index(), self._make_default(objects[0]["id"]))

    def _import(self, objects: Sequence[Json]) -> None:
        body = _multipart(ndjson(list(objects)))
        content = f"multipart/form-data; boundary={_BOUNDARY}"
        answer = self._ask("POST", "/api/saved_objects/_import?overwrite=true", body, content)
        found = _accepted("importing", answer)
        errors = found.get("errors") or []
        if errors or found.get("success") is not True:
            raise InstallError(
                f"Dashboards refused {len(errors)} of {len(objects)} objects and may have written "
                f"none: {'; '.join(_told(each) for each in errors[:5]) or str(found)[:300]}"
            )

    def _read_back(self, objects: Sequence[Json]) -> None:
        wanted = [{"type": each["type"], "id": each["id"]} for each in objects]
        answer = self._ask("POST", "/api/saved_objects/_bulk_get", json.dumps(wanted).encode())
        found = _accepted("reading back", answer).get("saved_objects") or []
        there = {(each.get("type"), each.get("id")): each for each in found}
        wrong = [each for each in objects if not _same(each, there.get((each["type"], each["id"])))]
        if wrong:
            names = ", ".join(f"{each['type']} {each['id']}" for each in wrong[:5])
            raise InstallError(
                f"Dashboards said yes, but {len(wrong)} of {len(objects)} objects are not there as "
                f"sent: {names}; look at the tenant and the workspace, and whether they may be "
                "written to"
            )

    def _has_index(self) -> bool | None:
        query = urlencode({"pattern": PATTERN_TITLE})
        answer = self._ask("GET", f"/api/index_patterns/_fields_for_wildcard?{query}")
        if answer.status == 404:
            return False
        found = answer.json()
        if answer.status != 200 or not isinstance(found, dict):
            return None
        return bool(found.get("fields"))

    def _make_default(self, pattern: str) -> bool:
        """Only where no index pattern is the default; without the right to it nothing happens."""
        path = "/api/opensearch-dashboards/settings"
        found = self._ask("GET", path).json()
        settings = found.get("settings") if isinstance(found, dict) else None
        if not isinstance(settings, dict) or "defaultIndex" in settings:
            return False
        body = json.dumps({"changes": {"defaultIndex": pattern}}).encode()
        return self._ask("POST", path, body).status == 200

    def _ask(
        self, method: str, path: str, body: bytes | None = None, content: str = "application/json"
    ) -> Answer:
        prefix = f"/w/{quote(self._workspace)}" if self._workspace else ""
        return self._wire.ask(
            method, prefix + path, body, content_type=content, headers=self._headers
        )


def _multipart(data: bytes) -> bytes:
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{_FILE}"\r\n'
        "Content-Type: application/ndjson\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _accepted(what: str, answer: Answer) -> dict[str, Any]:
    found = answer.json()
    if answer.status == 200 and isinstance(found, dict):
        return found
    said = found.get("message") if isinstance(found, dict) else None
    text = said or answer.body[:300].decode("utf-8", "replace").strip()
    hint = {
        401: "; user and password are not accepted",
        403: "; this user may not write to that tenant",
        404: "; is this Dashboards' own address, with its base path?",
        413: "; a proxy before Dashboards takes too little",
    }.get(answer.status, "")
    raise InstallError(f"Dashboards, {what}: status {answer.status}: {text}{hint}")


def _told(error: Mapping[str, Any]) -> str:
    cause = error.get("error")
    cause = cause if isinstance(cause, dict) else {}
    kind = cause.get("type", "unknown")
    more = cause.get("message") or ", ".join(
        f"{each.get('type')} {each.get('id')}" for each in cause.get("references") or ()
    )
    return f"{error.get('type')} {error.get('id')}: {kind}" + (f" ({more})" if more else "")


def _same(sent: Json, there: Mapping[str, Any] | None) -> bool:
    """Whether all that was sent is there; Dashboards adds members of its own."""
    if there is None or "error" in there:
        return False
    attributes = there.get("attributes") or {}
    return all(attributes.get(name) == value for name, value in sent["attributes"].items()) and (
        _names(sent) <= _names(there)
    )


def _names(saved: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {(each["name"], each["type"], each["id"]) for each in saved.get("references") or ()}
