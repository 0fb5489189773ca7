"""What AWS's service model says of an operation: members, their types and bounds, its errors.

`model.json` is made by `python -m tests.aggregator.cloudtrail.generate` from the model that boto3
carries, for the operations that are supported here; a test compares them.
"""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from opentrail_aggregator.cloudtrail.errors import COMMON, ApiError

LENGTH_SHOWN = 100

MEMBER_ERRORS = {
    "MaxResults": "InvalidMaxResultsException",
    "NextToken": "InvalidNextTokenException",
    "LookupAttributes": "InvalidLookupAttributesException",
    "EventCategory": "InvalidEventCategoryException",
    "StartTime": "InvalidTimeRangeException",
    "EndTime": "InvalidTimeRangeException",
    "Channel": "ChannelARNInvalidException",
    "channelArn": "InvalidChannelARN",
    "Tags": "InvalidTagParameterException",
    "TagsList": "InvalidTagParameterException",
    "EventSelectors": "InvalidEventSelectorsException",
    "AdvancedEventSelectors": "InvalidEventSelectorsException",
    "InsightSelectors": "InvalidInsightSelectorsException",
}
"""Top-level member -> the error that tells of it, where the operation has that error."""


class Operation(NamedTuple):
    """One operation."""

    name: str
    input: str
    errors: frozenset[str]


@cache
def _model() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (files("opentrail_aggregator.cloudtrail") / "model.json").read_text()
    )
    return found


@cache
def operation(name: str) -> Operation:
    """An operation that is supported here."""
    found = _model()["operations"][name]
    return Operation(name, found["input"], frozenset(found["errors"]))


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def check_input(of: Operation, given: Any) -> None:
    """Raise ApiError unless `given` is an input of the operation.

    Wrong types are SerializationException; what is out of bounds is the operation's own error for
    that member, or ValidationException.
    """
    if type(given) is not dict:
        raise ApiError("SerializationException", "the body is not a JSON object")
    _structure(of, _model()["shapes"][of.input], given, "")


def _structure(of: Operation, shape: dict[str, Any], given: dict[str, Any], path: str) -> None:
    for name in shape.get("required", ()):
        if given.get(name) is None:
            _out(of, f"{path}{name}", "Member must not be null")
    for name, kind in shape["members"].items():
        value = given.get(name)
        if value is not None:
            _value(of, _model()["shapes"][kind], value, f"{path}{name}")


def _value(of: Operation, shape: dict[str, Any], value: Any, path: str) -> None:
    kind = shape["type"]
    if kind == "structure":
        if type(value) is not dict:
            _wrong_type(path, "an object")
        _structure(of, shape, value, f"{path}.")
    elif kind == "list":
        if type(value) is not list:
            _wrong_type(path, "a list")
        _bounds(of, shape, len(value), path, "length")
        member = _model()["shapes"][shape["member"]]
        for number, each in enumerate(value):
            if each is None:
                _out(of, f"{path}.{number + 1}.member", "Member must not be null")
            _value(of, member, each, f"{path}.{number + 1}.member")
    elif kind == "string":
        if type(value) is not str:
            _wrong_type(path, "a text")
        if shape.get("enum") and value not in shape["enum"]:
            _out(of, path, f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
        _bounds(of, shape, len(value), path, "length")
        if shape.get("pattern") and not _pattern(shape["pattern"]).fullmatch(value):
            _out(of, path, f"Member must satisfy regular expression pattern: {shape['pattern']}")
    elif kind == "boolean":
        if type(value) is not bool:
            _wrong_type(path, "true or false")
    elif kind == "integer":
        if type(value) is not int or not -(2**31) <= value < 2**31:
            _wrong_type(path, "a whole number")
        _bounds(of, shape, value, path, "value")
    elif kind == "timestamp":
        if type(value) not in (int, float):
            _wrong_type(path, "seconds since 1970")
        if not -1e11 < value < 1e11:
            _out(of, path, "Member is no time")


def _bounds(of: Operation, shape: dict[str, Any], size: int, path: str, what: str) -> None:
    if "min" in shape and size < shape["min"]:
        _out(of, path, f"Member must have {what} greater than or equal to {shape['min']}")
    if "max" in shape and size > shape["max"]:
        _out(of, path, f"Member must have {what} less than or equal to {shape['max']}")


def _wrong_type(path: str, expected: str) -> None:
    raise ApiError("SerializationException", f"'{path[:LENGTH_SHOWN]}' is not {expected}")


def _out(of: Operation, path: str, message: str) -> None:
    top = path.partition(".")[0]
    raise ApiError(
        error_for(of, top),
        f"1 validation error detected: Value at '{path[:LENGTH_SHOWN]}' failed to satisfy "
        f"constraint: {message}",
    )


def error_for(of: Operation, member: str) -> str:
    """The operation's error for a bad member."""
    for code in (MEMBER_ERRORS.get(member, ""), "InvalidParameterException"):
        if code in of.errors:
            return code
    return "ValidationException"


def is_modelled(name: str, code: str) -> bool:
    """Whether a client of the operation can know this error."""
    return code in COMMON or code in operation(name).errors
