"""Selectors compiled to a test over a typed decode: does this trail take this event?

A trail is compiled once. The commonest trails (all management events, everything) cost one
comparison an event. Semantics are AWS's: selectors are OR-ed; the fields of an advanced selector
are AND-ed; of one field, any SELECT value has to match and no DESELECT value may; a field that the
event does not have matches no SELECT and no DESELECT value.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from opentrail_aggregator.trails.selectors import (
    BASIC_RESOURCE_TYPES,
    SELECT,
    AdvancedSelector,
    BasicSelector,
    DataResource,
    FieldCondition,
    Selectors,
)


class PlainView(msgspec.Struct, gc=False):
    """The plain members that selectors look at; types are checked where they are used."""

    eventCategory: Any = None
    eventType: Any = None
    eventSource: Any = None
    eventName: Any = None
    readOnly: Any = None
    errorCode: Any = None
    vpcEndpointId: Any = None
    sessionCredentialFromConsole: Any = None


class SelectedView(PlainView, gc=False):
    """All of them: those that are structures cost the most to decode."""

    resources: Any = None
    userIdentity: Any = None


Predicate = Callable[[SelectedView], bool]


def category_of(view: SelectedView) -> str:
    """Management, Data, NetworkActivity, Insight, ...; a record without one is Management."""
    category = view.eventCategory
    if isinstance(category, str) and category:
        return category
    if view.eventType == "AwsCloudTrailInsight":
        return "Insight"
    return (
        "NetworkActivity" if view.eventType in ("AwsVpceEvent", "AwsVpceEvents") else "Management"
    )


def compile_selectors(selectors: Selectors) -> Predicate:
    """The test of a trail with these selectors."""
    tests = [_basic(selector) for selector in selectors.basic]
    tests += [_advanced(selector) for selector in selectors.advanced]
    return tests[0] if len(tests) == 1 else lambda view: any(test(view) for test in tests)


def looks_into(selectors: Selectors) -> bool:
    """Whether its test looks at members that are structures."""
    fields = (each.field for selector in selectors.advanced for each in selector.fields)
    return any(selector.data_resources for selector in selectors.basic) or any(
        each.startswith(("resources.", "userIdentity.")) for each in fields
    )


# Basic.


def _basic(selector: BasicSelector) -> Predicate:
    wanted = {"All": None, "ReadOnly": True, "WriteOnly": False}[selector.read_write_type]
    excluded = frozenset(selector.exclude_management_event_sources)
    resources = [_data_resource(resource) for resource in selector.data_resources]
    management = selector.include_management_events

    def test(view: SelectedView) -> bool:
        category = view.eventCategory if view.eventCategory else category_of(view)
        if category == "Management":
            source = view.eventSource
            if not management or (excluded and isinstance(source, str) and source in excluded):
                return False
        elif category != "Data" or not any(matches(view) for matches in resources):
            return False
        return wanted is None or (view.readOnly is True) == wanted

    return test


def _data_resource(resource: DataResource) -> Predicate:
    everything = BASIC_RESOURCE_TYPES[resource.type]
    all_of_them = everything in resource.values
    is_prefix = resource.type == "AWS::S3::Object"
    prefixes = tuple(resource.values)
    exact = frozenset(resource.values)
    source = {
        "AWS::S3::Object": "s3.amazonaws.com",
        "AWS::Lambda::Function": "lambda.amazonaws.com",
        "AWS::DynamoDB::Table": "dynamodb.amazonaws.com",
    }[resource.type]

    def matches(view: SelectedView) -> bool:
        if view.eventSource != source:
            return False
        if all_of_them:
            return True
        arns = _resource_arns(view)
        # Lambda records may carry a version or alias behind the function's ARN.
        return any(
            arn.startswith(prefixes)
            if is_prefix
            else arn in exact or (arn.count(":") == 7 and arn.rpartition(":")[0] in exact)
            for arn in arns
        )

    return matches


# Advanced.


def _advanced(selector: AdvancedSelector) -> Predicate:
    category = selector.category
    of_resources = [f for f in selector.fields if f.field.startswith("resources.")]
    others = [f for f in selector.fields if f not in of_resources and f.field != "eventCategory"]
    tests = [_field(f) for f in others]
    if of_resources:
        tests.append(_one_resource(of_resources))
    if not tests:
        return lambda view: (view.eventCategory or category_of(view)) == category

    if len(tests) == 1:  # The commonest: worth a call and a generator less.
        [only] = tests
        return lambda view: (view.eventCategory or category_of(view)) == category and only(view)

    def test(view: SelectedView) -> bool:
        if (view.eventCategory or category_of(view)) != category:
            return False
        return all(matches(view) for matches in tests)

    return test


def _field(condition: FieldCondition) -> Predicate:
    if condition.field == "readOnly" and condition.conditions in _READ_ONLY:
        wanted = _READ_ONLY[condition.conditions]
        return lambda view: (view.readOnly is True) is wanted
    matches = _condition(condition)
    read = _READERS[condition.field]
    return lambda view: matches(read(view))


def _one_resource(conditions: Iterable[FieldCondition]) -> Predicate:
    tests = [(f.field.removeprefix("resources."), _condition(f)) for f in conditions]

    def test(view: SelectedView) -> bool:
        return any(
            all(
                matches([value] if isinstance(value := resource.get(member), str) else [])
                for member, matches in tests
            )
            for resource in _resources(view)
        )

    return test


def _condition(condition: FieldCondition) -> Callable[[list[str]], bool]:
    select = [_operator(op, values) for op, values in condition.conditions if op in SELECT]
    deselect = [
        _operator(op.removeprefix("Not"), values)
        for op, values in condition.conditions
        if op not in SELECT
    ]

    def matches(texts: list[str]) -> bool:
        if select and not any(test(text) for test in select for text in texts):
            return False
        return not any(test(text) for test in deselect for text in texts)

    return matches


def _operator(operator: str, values: tuple[str, ...]) -> Callable[[str], bool]:
    if operator == "Equals":
        return frozenset(values).__contains__
    if operator == "StartsWith":
        return lambda text: text.startswith(values)
    return lambda text: text.endswith(values)


# What a field is in a record.


def _resources(view: SelectedView) -> list[dict[str, Any]]:
    resources = view.resources
    if not isinstance(resources, list):
        return []
    return [resource for resource in resources if isinstance(resource, dict)]


def _resource_arns(view: SelectedView) -> list[str]:
    return [arn for r in _resources(view) if isinstance(arn := r.get("ARN"), str)]


def _text(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [value] if isinstance(value, str) else []


def _identity_arn(view: SelectedView) -> list[str]:
    identity = view.userIdentity
    return _text(identity.get("arn")) if isinstance(identity, dict) else []


_READ_ONLY = {(("Equals", ("true",)),): True, (("Equals", ("false",)),): False}

_READERS: dict[str, Callable[[SelectedView], list[str]]] = {
    # AWS counts a record that does not say as one that writes.
    "readOnly": lambda view: ["true" if view.readOnly is True else "false"],
    "eventSource": lambda view: _text(view.eventSource),
    "eventName": lambda view: _text(view.eventName),
    "eventType": lambda view: _text(view.eventType),
    "errorCode": lambda view: _text(view.errorCode),
    "vpcEndpointId": lambda view: _text(view.vpcEndpointId),
    "sessionCredentialFromConsole": lambda view: (
        _text(view.sessionCredentialFromConsole) or ["false"]
    ),
    "userIdentity.arn": _identity_arn,
}
