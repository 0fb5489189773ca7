"""The room judges as a slow and obvious reference does, on random logs and random steps."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.identity import canonical_region, event_key, is_global
from opentrail.record import Admitted, admit
from opentrail_aggregator.consolidate.verdict import CONFLICT, COPY, KEPT, REFUSED, Group
from tests.aggregator.consolidate.world import NOW, World, line

GRANTS = {
    "grants": [
        {"agent": "web-*", "accounts": ["111122223333"], "regions": ["eu-*"]},
        {"agent": "all", "accounts": ["*"], "regions": ["*"]},
    ],
    "global_services": ["support"],
}
Sent = tuple[str, list[bytes]]


class Reference:
    """One dict and a loop."""

    def __init__(self) -> None:
        self.first: dict[bytes, bytes] = {}

    def judge(self, agent: str, lines: list[bytes]) -> list[tuple[int, Group | None]]:
        return [self.judge_line(agent, each) for each in lines]

    def judge_line(self, agent: str, record: bytes) -> tuple[int, Group | None]:
        try:
            record.decode()
        except UnicodeDecodeError:
            return REFUSED, None
        what = admit(record, "111122223333", "eu-west-1")
        if not isinstance(what, Admitted):
            return REFUSED, None
        services = frozenset({"support.amazonaws.com"})
        region = canonical_region(what.view, what.region, services)
        granted = agent == "all" or (
            agent == "web-1"
            and what.account == "111122223333"
            and (region.startswith("eu-") or is_global(what.view, services))
        )
        if not granted or what.time_s > NOW + 86_400:
            return REFUSED, None
        hour = what.time_s // 3600
        first = self.first.setdefault(event_key(what.account, what.event_id, hour), record)
        if first is record:
            return KEPT, Group(what.account, region, hour)
        if json.loads(first) == json.loads(record):
            return COPY, None
        return CONFLICT, None


@st.composite
def records(draw: st.DrawFn) -> bytes:
    members: dict[str, Any] = {
        "eventTime": draw(
            st.sampled_from(
                [
                    "2025-12-31T10:11:12Z",
                    "2025-12-31T10:59:59.5Z",
                    "2025-12-31T11:00:00Z",
                    "2026-01-01T23:59:59Z",
                    "2026-01-02T00:00:01Z",
                    "1900-02-28T00:00:00Z",
                    "2025-02-30T00:00:00Z",
                    "2025-12-31T10:11:12",
                    None,
                    7,
                    ["2025-12-31T10:11:12Z"],
                ]
            )
        ),
        "eventSource": draw(
            st.sampled_from(
                [
                    "ec2.amazonaws.com",
                    "iam.amazonaws.com",
                    "sts.amazonaws.com",
                    "signin.amazonaws.com",
                    "support.amazonaws.com",
                    None,
                    {"a": 1},
                    [],
                ]
            )
        ),
        "awsRegion": draw(
            st.sampled_from(
                ["eu-west-1", "us-east-1", "cn-north-1", "us-gov-east-1", "", "../x", None, []]
            )
        ),
        "recipientAccountId": draw(
            st.sampled_from(["111122223333", "444455556666", "", "x", None, {}, 5])
        ),
        "userIdentity": draw(
            st.sampled_from(
                [
                    {"type": "Root"},
                    {"type": "IAMUser", "accountId": "444455556666"},
                    {"arn": "arn:aws-cn:iam::1:user/a"},
                    {"arn": 5},
                    None,
                    "x",
                ]
            )
        ),
        "eventName": draw(st.sampled_from(["A", "B"])),
    }
    event_id: Any = draw(st.sampled_from(["a", "b", "c", "\u00e9", "x" * 300, "", 5, []]))
    record = line(event_id, **members)
    spoil = draw(st.integers(0, 20))
    if spoil == 0:
        return record[:-1]
    if spoil == 1:
        return record.replace(b"eventName", b"event\xffName")
    if spoil == 2:
        return record + b" "
    if spoil == 3:
        return json.dumps(json.loads(record), indent=None).encode()
    return record


LOGS = st.lists(
    st.tuples(st.sampled_from(["web-1", "all", "nobody"]), st.lists(records(), max_size=12)),
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sent=LOGS, seed=st.integers(0, 2**32))
def test_the_room_judges_as_the_reference_does(sent: list[Sent], seed: int) -> None:
    generator = random.Random(seed)
    reference = Reference()
    with TemporaryDirectory() as directory:
        world = World(Path(directory), settings=GRANTS)
        expected: dict[int, list[tuple[int, Group | None]]] = {}
        for agent, lines in sent:
            source: dict[str, Any] = {"account": "111122223333", "region": "eu-west-1"}
            at = world.send(lines, agent=agent, **source)
            expected[at] = reference.judge(agent, lines)
            if generator.random() < 0.5:
                world.run()
            if generator.random() < 0.3:
                world.restart()
            elif generator.random() < 0.3:
                world.crash()
        world.run()
        outcomes = [each for found in expected.values() for each, _ in found]
        for at, found in expected.items():
            verdict = world.verdict(at)
            assert list(verdict.outcomes) == [each for each, _ in found]
            assert [verdict.group(n) for n in range(len(found))] == [group for _, group in found]
        last = world.verdicts()[-1]
        assert last.kept_total == outcomes.count(KEPT)
        assert last.copies_total == outcomes.count(COPY)
        assert last.quarantined_total == len(outcomes) - last.kept_total - last.copies_total
        assert world.quarantine.count_through(last.position) == last.quarantined_total
        world.restart()
