"""Objects of another shape as CloudTrail records, by a declared mapping.

The original stays whole, byte for byte, in `additionalEventData.original`. CloudTrail limits some
fields: a text beyond its limit is cut, an object beyond its limit left out, and each time
`additionalEventData.cut` says of which size and sha256 the whole was.
"""

import datetime
import hashlib
from typing import Any

import msgspec

from opentrail.identity import natural_event_id

from .settings import MappingSettings

_KIB = 1024
TEXT_MAX_BYTES = {
    name: _KIB for name in ("userAgent", "errorCode", "errorMessage", "requestID")
}  # fmt: skip
OBJECT_MAX_BYTES = {
    name: 100 * _KIB for name in ("requestParameters", "responseElements", "serviceEventDetails")
}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_BOOLEANS = {"true": True, "false": False}


class Mapping:
    """Turns the objects of one source into records."""

    def __init__(self, settings: MappingSettings, source: str) -> None:
        self._fields = [
            (name.split("."), path.split(".")) for name, path in settings.fields.items()
        ]
        self._constants = [
            (name.split("."), _BOOLEANS.get(text, text))
            for name, text in settings.constants.items()
        ]
        self._time = settings.time
        self._key = [path.split(".") for path in settings.key]
        self._source = source

    def apply(self, original: bytes) -> tuple[bytes, str]:
        """The record for `original` and its natural eventID, empty if the source has no key.

        Raises msgspec.MsgspecError or UnicodeError if `original` is not JSON, and ValueError if it
        is no object.
        """
        members = _decoder.decode(original)
        if not isinstance(members, dict):
            raise ValueError("not an object")
        record: dict[str, Any] = {"eventVersion": "1.11"}
        for name, text in self._constants:
            _put(record, name, text)
        for name, path in self._fields:
            value = _get(members, path)
            if value is not None:
                _put(record, name, value)
        if "eventTime" in record:
            record["eventTime"] = self._event_time(record["eventTime"])
        cut: dict[str, Any] = {}
        _keep_limits(record, cut)
        record["additionalEventData"] = {"original": msgspec.Raw(original)} | (
            {"cut": cut} if cut else {}
        )
        values = [_get(members, path) for path in self._key]
        natural = ""
        if values and None not in values:
            natural = natural_event_id(self._source, _encoder.encode(values).decode())
        return _encoder.encode(record), natural

    def _event_time(self, value: Any) -> Any:
        if self._time == "rfc3339":
            return value
        divisor = 1 if self._time == "seconds" else 1000
        try:
            seconds = int(float(value) // divisor)
            moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            return value  # Admission refuses it and says what it found.
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _get(members: Any, path: list[str]) -> Any:
    """The value at `path`; a key that itself holds dots is found too."""
    for index, step in enumerate(path):
        if not isinstance(members, dict):
            return None
        rest = ".".join(path[index:])
        if rest in members:
            return members[rest]
        members = members.get(step)
    return members


def _put(record: dict[str, Any], name: list[str], value: Any) -> None:
    for step in name[:-1]:
        inner = record.setdefault(step, {})
        if not isinstance(inner, dict):
            inner = record[step] = {}
        record = inner
    record[name[-1]] = value


def _keep_limits(record: dict[str, Any], cut: dict[str, Any]) -> None:
    for name, limit in TEXT_MAX_BYTES.items():
        value = record.get(name)
        whole = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
        if len(whole) > limit:
            record[name] = whole[:limit].decode("utf-8", "ignore")
            cut[name] = {"size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    for name, limit in OBJECT_MAX_BYTES.items():
        if name not in record:
            continue
        whole = _encoder.encode(record[name])
        if len(whole) > limit:
            digest = hashlib.sha256(whole).hexdigest()
            # As CloudTrail itself leaves such a field out.
            record[name] = {
                "omitted": True, "originalSize": len(whole), "reason": f"{name} too large",
            }  # fmt: skip
            cut[name] = {"size": len(whole), "sha256": digest}
