"""Event selectors as the CloudTrail API takes them, checked as AWS checks them.

Basic selectors: at most 5 a trail, 250 data resource values. Advanced selectors: at most 500 values
over all conditions, each selector with an eventCategory, and per category the fields that AWS
allows. Both kinds at once are refused. A trail without selectors takes all management events.

Pure: JSON values in, frozen dataclasses out, `SelectorError` (InvalidEventSelectorsException)
with the member that is wrong. Source of the rules: the CloudTrail API reference and user guide.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ReadWriteType = Literal["All", "ReadOnly", "WriteOnly"]
Category = Literal["Management", "Data", "NetworkActivity"]

BASIC_MAX = 5
DATA_RESOURCES_MAX = 250
ADVANCED_VALUES_MAX = 500
NAME_MAX_CHARACTERS = 1000
FIELD_MAX_CHARACTERS = 1000
VALUE_MAX_CHARACTERS = 2048

BASIC_RESOURCE_TYPES = {
    "AWS::S3::Object": "arn:aws:s3",
    "AWS::Lambda::Function": "arn:aws:lambda",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb",
}
"""Type -> the value that means all of them."""

EXCLUDABLE_SOURCES = frozenset(("kms.amazonaws.com", "rdsdata.amazonaws.com"))

SELECT = ("Equals", "StartsWith", "EndsWith")
DESELECT = ("NotEquals", "NotStartsWith", "NotEndsWith")
OPERATORS = (*SELECT, *DESELECT)

_FIELD = re.compile(r"[\w|.]+", re.ASCII)
_RESOURCE_TYPE = re.compile(r"AWS::[A-Za-z0-9]+::[A-Za-z0-9]+(?:::[A-Za-z0-9]+)?", re.ASCII)

_ANY = frozenset(OPERATORS)
_EQUALS = frozenset(("Equals",))
_EITHER = frozenset(("Equals", "NotEquals"))

ALLOWED: dict[str, dict[str, frozenset[str]]] = {
    "Management": {
        "eventCategory": _EQUALS,
        "readOnly": _EQUALS,
        "eventSource": frozenset(("NotEquals",)),
    },
    "Data": {
        "eventCategory": _EQUALS,
        "readOnly": _EQUALS,
        "eventSource": _ANY,
        "eventName": _ANY,
        "eventType": _ANY,
        "resources.type": _EQUALS,
        "resources.ARN": _ANY,
        "sessionCredentialFromConsole": _EITHER,
        "userIdentity.arn": _ANY,
    },
    "NetworkActivity": {
        "eventCategory": _EQUALS,
        "eventSource": _EQUALS,
        "eventName": _ANY,
        "errorCode": _EQUALS,
        "vpcEndpointId": _ANY,
        "userIdentity.arn": _ANY,
    },
}
"""Category -> field -> operators that a trail may use on it."""


class SelectorError(ValueError):
    """Selectors that AWS would refuse; answers as InvalidEventSelectorsException."""


@dataclass(frozen=True, slots=True)
class DataResource:
    type: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BasicSelector:
    read_write_type: ReadWriteType = "All"
    include_management_events: bool = True
    data_resources: tuple[DataResource, ...] = ()
    exclude_management_event_sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """One field: any SELECT value has to match (if there is one), no DESELECT value may."""

    field: str
    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    """Operator and its values, in the order they were given."""


@dataclass(frozen=True, slots=True)
class AdvancedSelector:
    fields: tuple[FieldCondition, ...]
    name: str = ""

    @property
    def category(self) -> str:
        """The one value of eventCategory."""
        [condition] = [f for f in self.fields if f.field == "eventCategory"]
        return condition.conditions[0][1][0]


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a trail takes. Exactly one of the two is not empty."""

    basic: tuple[BasicSelector, ...] = field(default_factory=lambda: (BasicSelector(),))
    advanced: tuple[AdvancedSelector, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether it is what a trail has that nobody gave selectors to."""
        return not self.advanced and self.basic == (BasicSelector(),)


def read_selectors(
    basic: Sequence[Any] | None = None, advanced: Sequence[Any] | None = None
) -> Selectors:
    """The selectors of a PutEventSelectors request; raises SelectorError."""
    if basic and advanced:
        raise SelectorError("EventSelectors and AdvancedEventSelectors cannot both be given.")
    if advanced:
        return Selectors((), _read_advanced(advanced))
    if basic:
        return Selectors(_read_basic(basic))
    raise SelectorError("one of EventSelectors and AdvancedEventSelectors must be given.")


def basic_as_api(selector: BasicSelector) -> dict[str, Any]:
    """A basic selector as the API answers with it."""
    return {
        "ReadWriteType": selector.read_write_type,
        "IncludeManagementEvents": selector.include_management_events,
        "DataResources": [
            {"Type": resource.type, "Values": list(resource.values)}
            for resource in selector.data_resources
        ],
        "ExcludeManagementEventSources": list(selector.exclude_management_event_sources),
    }


def advanced_as_api(selector: AdvancedSelector) -> dict[str, Any]:
    """An advanced selector as the API answers with it."""
    fields = [
        {"Field": condition.field, **{op: list(values) for op, values in condition.conditions}}
        for condition in selector.fields
    ]
    return {"Name": selector.name, "FieldSelectors": fields}


# Basic.


def _read_basic(given: Sequence[Any]) -> tuple[BasicSelector, ...]:
    if len(given) > BASIC_MAX:
        raise SelectorError(f"{len(given)} event selectors; a trail has at most {BASIC_MAX}.")
    selectors = tuple(_basic(_mapping(item, "EventSelectors")) for item in given)
    values = sum(len(r.values) for s in selectors for r in s.data_resources)
    if values > DATA_RESOURCES_MAX:
        raise SelectorError(f"{values} data resources; a trail has at most {DATA_RESOURCES_MAX}.")
    return selectors


def _basic(given: Mapping[str, Any]) -> BasicSelector:
    kind = given.get("ReadWriteType", "All")
    if kind not in ("All", "ReadOnly", "WriteOnly"):
        raise SelectorError(f"ReadWriteType {kind!r} is not one of All, ReadOnly, WriteOnly.")
    management = given.get("IncludeManagementEvents", True)
    if not isinstance(management, bool):
        raise SelectorError("IncludeManagementEvents must be true or false.")
    excluded = tuple(_texts(given.get("ExcludeManagementEventSources", []), "Exclude"))
    for source in excluded:
        if source not in EXCLUDABLE_SOURCES:
            raise SelectorError(
                f"ExcludeManagementEventSources {source!r} is not one of "
                f"{', '.join(sorted(EXCLUDABLE_SOURCES))}."
            )
    if excluded and not management:
        raise SelectorError(
            "ExcludeManagementEventSources needs IncludeManagementEvents to be true."
        )
    resources = given.get("DataResources") or []
    read = tuple(_data_resource(_mapping(item, "DataResources")) for item in _list(resources))
    if not management and not read:
        raise SelectorError("an event selector must take management events or data resources.")
    return BasicSelector(kind, management, read, excluded)


def _data_resource(given: Mapping[str, Any]) -> DataResource:
    kind = given.get("Type")
    if kind not in BASIC_RESOURCE_TYPES:
        raise SelectorError(
            f"DataResources Type {kind!r} is not one of {', '.join(BASIC_RESOURCE_TYPES)}; "
            "others need advanced event selectors."
        )
    values = tuple(_texts(given.get("Values", []), "Values"))
    everything = BASIC_RESOURCE_TYPES[kind]
    for value in values:
        rest = value.removeprefix(everything)
        if rest == value or (rest and not rest.startswith(":")):
            raise SelectorError(f"Value {value!r} for DataResources.Values is invalid for {kind}.")
    return DataResource(kind, values)


# Advanced.


def _read_advanced(given: Sequence[Any]) -> tuple[AdvancedSelector, ...]:
    selectors = tuple(_advanced(_mapping(item, "AdvancedEventSelectors")) for item in given)
    values = sum(len(v) for s in selectors for f in s.fields for _, v in f.conditions)
    if values > ADVANCED_VALUES_MAX:
        raise SelectorError(
            f"{values} values over all advanced event selectors; at most {ADVANCED_VALUES_MAX}."
        )
    return selectors


def _advanced(given: Mapping[str, Any]) -> AdvancedSelector:
    name = given.get("Name", "")
    if not isinstance(name, str) or len(name) > NAME_MAX_CHARACTERS:
        raise SelectorError(f"Name must be a text of at most {NAME_MAX_CHARACTERS} characters.")
    fields = tuple(
        _field_condition(_mapping(item, "FieldSelectors"))
        for item in _list(given.get("FieldSelectors") or [])
    )
    names = [condition.field for condition in fields]
    if len(set(names)) != len(names):
        raise SelectorError("a field may appear only once in a selector.")
    if "eventCategory" not in names:
        raise SelectorError("eventCategory is required in each advanced event selector.")
    selector = AdvancedSelector(fields, name)
    _check_category(selector)
    return selector


def _field_condition(given: Mapping[str, Any]) -> FieldCondition:
    name = given.get("Field")
    if not isinstance(name, str) or len(name) > FIELD_MAX_CHARACTERS or not _FIELD.fullmatch(name):
        raise SelectorError(f"Field {name!r} is no field name.")
    unknown = sorted(set(given) - {"Field", *OPERATORS})
    if unknown:
        raise SelectorError(f"{unknown[0]!r} is no operator; there are {', '.join(OPERATORS)}.")
    conditions: list[tuple[str, tuple[str, ...]]] = []
    for operator in OPERATORS:
        if given.get(operator) is None:
            continue
        values = tuple(_texts(given[operator], operator))
        if not values:
            raise SelectorError(f"{name}: {operator} has no values.")
        if any(not 1 <= len(value) <= VALUE_MAX_CHARACTERS for value in values):
            raise SelectorError(f"{name}: a value has 1 to {VALUE_MAX_CHARACTERS} characters.")
        conditions.append((operator, values))
    if not conditions:
        raise SelectorError(f"{name}: no operator is given.")
    return FieldCondition(name, tuple(conditions))


def _check_category(selector: AdvancedSelector) -> None:
    by_name = {condition.field: condition for condition in selector.fields}
    category = by_name["eventCategory"]
    operators = [operator for operator, _ in category.conditions]
    values = [value for _, values in category.conditions for value in values]
    if operators != ["Equals"] or len(values) != 1 or values[0] not in ALLOWED:
        raise SelectorError(
            f"eventCategory must be Equals with one of {', '.join(ALLOWED)} for a trail."
        )
    allowed = ALLOWED[values[0]]
    for condition in selector.fields:
        if condition.field not in allowed:
            raise SelectorError(
                f"{condition.field} is not a field of {values[0]} events for a trail; "
                f"there are {', '.join(allowed)}."
            )
        for operator, _ in condition.conditions:
            if operator not in allowed[condition.field]:
                raise SelectorError(
                    f"{condition.field} of {values[0]} events does not take {operator}."
                )
    _check_values(values[0], by_name)


def _check_values(category: str, by_name: Mapping[str, FieldCondition]) -> None:
    def values(name: str) -> list[str]:
        found = by_name.get(name)
        return [] if found is None else [v for _, group in found.conditions for v in group]

    if any(value not in ("true", "false") for value in values("readOnly")):
        raise SelectorError("readOnly must be Equals true or false.")
    if category == "Management":
        bad = [value for value in values("eventSource") if value not in EXCLUDABLE_SOURCES]
        if bad:
            raise SelectorError(
                f"eventSource NotEquals {bad[0]!r} is not one that can be left out."
            )
    if category == "Data":
        types = values("resources.type")
        if len(types) != 1:
            raise SelectorError(
                "resources.type is required with exactly one value for Data events."
            )
        if _RESOURCE_TYPE.fullmatch(types[0]) is None:
            raise SelectorError(f"resources.type {types[0]!r} is not like AWS::S3::Object.")
    if category == "NetworkActivity":
        if len(values("eventSource")) != 1:
            raise SelectorError(
                "eventSource is required with exactly one value for NetworkActivity events."
            )
        if any(value != "VpceAccessDenied" for value in values("errorCode")):
            raise SelectorError("errorCode can only be VpceAccessDenied.")


# JSON.


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SelectorError(f"{what} must be a list of structures.")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise SelectorError("expected a list.")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SelectorError(f"{what} must be a list of texts.")
    return value
