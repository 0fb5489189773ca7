"""Where an event belongs: canonical region, global services, and who may speak for it."""

from typing import Any

import pytest

from opentrail_aggregator.consolidate.verdict import COPY, KEPT, REFUSED
from tests.aggregator.consolidate.world import World, line

GOV = "arn:aws-us-gov:iam::111122223333:user/ada"
CHINA = "arn:aws-cn:iam::111122223333:user/ada"


def region_of(world: World, record: bytes, **source: Any) -> str:
    at = world.send([record], **source)
    world.run()
    return next(group.region for _, group in world.verdict(at).kept())


@pytest.mark.parametrize("service", ["iam", "organizations", "cloudfront", "route53", "health"])
@pytest.mark.parametrize(
    ("region", "arn", "canonical"),
    [
        ("eu-west-1", "arn:aws:iam::111122223333:user/ada", "us-east-1"),
        ("us-east-1", "arn:aws:iam::111122223333:user/ada", "us-east-1"),
        ("cn-northwest-1", CHINA, "cn-north-1"),
        ("cn-northwest-1", None, "cn-north-1"),
        ("us-gov-east-1", GOV, "us-gov-west-1"),
        ("us-gov-east-1", None, "us-gov-west-1"),
        ("eu-west-1", None, "us-east-1"),
        ("eu-west-1", CHINA, "cn-north-1"),
        ("eu-west-1", "nonsense", "us-east-1"),
    ],
)
def test_a_global_service_belongs_to_the_global_region_of_its_partition(
    world: World, service: str, region: str, arn: str | None, canonical: str
) -> None:
    identity = {"type": "IAMUser", "arn": arn} if arn else {"type": "IAMUser"}
    record = line(
        "a", eventSource=f"{service}.amazonaws.com", awsRegion=region, userIdentity=identity
    )
    assert region_of(world, record) == canonical


@pytest.mark.parametrize(
    ("members", "canonical"),
    [
        ({"eventSource": "sts.amazonaws.com"}, "eu-west-1"),
        (
            {
                "eventSource": "sts.amazonaws.com",
                "additionalEventData": {"RequestDetails": {"endpointType": "global"}},
            },
            "us-east-1",
        ),
        (
            {
                "eventSource": "sts.amazonaws.com",
                "additionalEventData": {"RequestDetails": {"endpointType": "regional"}},
            },
            "eu-west-1",
        ),
        ({"eventSource": "signin.amazonaws.com", "userIdentity": {"type": "Root"}}, "us-east-1"),
        ({"eventSource": "signin.amazonaws.com", "userIdentity": {"type": "IAMUser"}}, "eu-west-1"),
        ({"eventSource": "sts.amazonaws.com", "awsRegion": "us-east-1"}, "us-east-1"),
        ({"eventSource": "ec2.amazonaws.com", "userIdentity": {"type": "Root"}}, "eu-west-1"),
    ],
)
def test_sts_and_signin_are_global_only_where_the_record_says_so(
    world: World, members: dict[str, Any], canonical: str
) -> None:
    assert region_of(world, line("a", **members)) == canonical


def test_further_global_services_come_from_the_settings_in_the_log(world: World) -> None:
    record = line("a", eventSource="example.amazonaws.com")
    assert region_of(world, record) == "eu-west-1"
    world.control(
        "settings",
        {
            "grants": [{"agent": "*", "accounts": ["*"], "regions": ["*"]}],
            "global_services": ["example"],
        },
    )
    other = line("b", eventSource="example.amazonaws.com")
    assert region_of(world, other) == "us-east-1"


def test_a_global_event_seen_in_two_regions_is_kept_once(world: World) -> None:
    same = line("a", eventSource="iam.amazonaws.com", awsRegion="us-east-1")
    world.send([same], agent="web-1", region="eu-west-1")
    assert world.outcomes(world.send([same], agent="web-2", region="ap-south-1")) == [COPY]


# Grants.

GRANTS = {
    "grants": [
        {"agent": "web-*", "accounts": ["111122223333", "4*"], "regions": ["eu-*"]},
        {"agent": "*", "accounts": ["9" * 12], "regions": ["*"]},
        {"agent": "web-9", "accounts": ["*"], "regions": ["*"]},
    ]
}


@pytest.mark.parametrize(
    ("agent", "members", "outcome"),
    [
        ("web-1", {}, KEPT),
        ("web-1", {"recipientAccountId": "444455556666"}, KEPT),
        ("web-1", {"recipientAccountId": "555555555555"}, REFUSED),
        ("web-1", {"awsRegion": "us-west-2"}, REFUSED),
        ("web-1", {"eventSource": "iam.amazonaws.com", "awsRegion": "us-east-1"}, KEPT),
        ("web-1", {"eventSource": "ec2.amazonaws.com", "awsRegion": "us-east-1"}, REFUSED),
        (
            "web-1",
            {"eventSource": "iam.amazonaws.com", "recipientAccountId": "555555555555"},
            REFUSED,
        ),
        ("web-9", {"awsRegion": "us-west-2"}, REFUSED),
        ("db", {"recipientAccountId": "9" * 12, "awsRegion": "us-west-2"}, KEPT),
        ("db", {}, REFUSED),
        ("opentrail/replay", {"recipientAccountId": "1" * 12}, KEPT),
    ],
)
def test_a_grant_says_for_whom_an_agent_speaks(
    world: World, agent: str, members: dict[str, Any], outcome: int
) -> None:
    world.control("settings", GRANTS)
    assert world.outcomes(world.send([line("a", **members)], agent=agent)) == [outcome]
    if outcome == REFUSED:
        assert world.items()[0].reason == "outside_grant"
        assert "alarm.outside_grant" in world.problems()


def test_a_regional_event_gains_nothing_from_a_global_one_of_its_group(world: World) -> None:
    world.control("settings", GRANTS)
    at = world.send(
        [
            line("a", eventSource="iam.amazonaws.com", awsRegion="us-east-1"),
            line("b", eventSource="ec2.amazonaws.com", awsRegion="us-east-1"),
        ]
    )
    assert world.outcomes(at) == [KEPT, REFUSED]


def test_a_foreign_event_does_not_take_the_place_of_the_true_one(world: World) -> None:
    world.control("settings", GRANTS)
    world.send([line("a", eventName="Forged")], agent="db")
    assert world.outcomes(world.send([line("a")])) == [KEPT]


def test_grants_hold_from_their_place_in_the_log_on(world: World) -> None:
    before = world.send([line("a")], agent="db")
    world.control("settings", GRANTS)
    after = world.send([line("b")], agent="db")
    assert world.outcomes(before) == [KEPT]
    assert world.outcomes(after) == [REFUSED]
    world.restart()
    assert world.outcomes(world.send([line("c")], agent="db")) == [REFUSED]


def test_without_settings_in_the_log_nobody_speaks_for_anything(world: World) -> None:
    world.control("settings", {})
    assert world.outcomes(world.send([line("a")])) == [REFUSED]
