"""One suite for every engine of search: the same answers, in the same order, and the same errors.

A test module of an engine subclasses `EngineContract` and gives the fixture `store`, which makes an
engine that holds given events. What is right is decided by `oracle`, never by an engine.
"""

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail_aggregator.search.engine import Deadline, Engine, Hit, Scope
from opentrail_aggregator.search.errors import CursorError, QueryError, SearchTimeoutError
from opentrail_aggregator.search.parser import parse
from tests.aggregator.search.oracle import Stored, matches, values
from tests.fakes.clock import FakeClock

NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
DAY = 86_400


class Store(Protocol):
    """An engine under test and the way to give it events."""

    engine: Engine
    clock: FakeClock

    def add(self, events: Sequence[Stored]) -> None:
        """Afterwards the engine finds `events` too."""
        ...


def stored(
    record: dict[str, Any], *, account: str = "111122223333", region: str = "", derived: str = ""
) -> Stored:
    text = str(record["eventTime"])
    identity = record.get("userIdentity")
    names = identity if isinstance(identity, dict) else {}
    username = names.get("userName", "")
    if names.get("type") == "Root":
        username = "root"
    elif not username and ":" in names.get("principalId", ""):
        username = names["principalId"].split(":", 1)[1]
    found: list[tuple[str, str]] = []
    parameters = record.get("requestParameters")
    if isinstance(parameters, dict) and record.get("eventSource") == "s3.amazonaws.com":
        for member, kind in (("bucketName", "AWS::S3::Bucket"), ("key", "AWS::S3::Object")):
            if isinstance(parameters.get(member), str):
                found.append((kind, parameters[member]))
    own = record.get("resources")
    for each in own if isinstance(own, list) else []:
        if isinstance(each, dict) and each.get("ARN"):
            found.append((each.get("type", ""), each["ARN"]))
    return Stored(
        record, account, region or str(record.get("awsRegion", "us-east-1")),
        record.get("eventID") or derived,
        int(datetime.fromisoformat(text).timestamp()), username, tuple(found),
    )  # fmt: skip


def when(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record_at(second: int, event_id: str = "", **members: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "userName": "ada", "accountId": "111122223333"},
        "eventTime": when(second),
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "203.0.113.7",
        "eventType": "AwsApiCall",
        "readOnly": False,
        "requestParameters": None,
        "responseElements": None,
        **members,
    }
    if event_id:
        whole["eventID"] = event_id
    return whole


def ordinary(count: int = 240) -> list[Stored]:
    """A believable mixture over four days, with many ties in time."""
    chance = random.Random(7)
    events = []
    for index in range(count):
        source, name, read_only = chance.choice(
            [
                ("s3.amazonaws.com", "GetObject", True),
                ("s3.amazonaws.com", "PutObject", False),
                ("sts.amazonaws.com", "AssumeRole", True),
                ("iam.amazonaws.com", "CreateUser", False),
                ("ec2.amazonaws.com", "DescribeInstances", True),
            ]
        )
        user = chance.choice(["alice", "bob", "Carol", "dave-x", "e.f"])
        region = chance.choice(["eu-west-1", "us-east-1", "ap-south-1"])
        account = chance.choice(["111122223333", "444455556666"])
        identity: dict[str, Any] = {
            "type": "IAMUser",
            "userName": user,
            "arn": f"arn:aws:iam::{account}:user/{user}",
            "accessKeyId": f"AKIA{index % 5}",
            "accountId": account,
        }
        if index % 4 == 0:
            identity = {
                "type": "AssumedRole",
                "principalId": f"AROA1:{user}-session",
                "arn": f"arn:aws:sts::{account}:assumed-role/Admin/{user}-session",
                "sessionContext": {
                    "sessionIssuer": {"type": "Role", "userName": "Admin"},
                    "attributes": {
                        "creationDate": when(NOW - index * 600),
                        "mfaAuthenticated": chance.choice(["true", "false"]),
                    },
                },
            }
        record = record_at(
            NOW - 1 - chance.randrange(40) * 8_123,
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            eventSource=source, eventName=name, awsRegion=region, userIdentity=identity,
            readOnly=read_only, recipientAccountId=account,
            sourceIPAddress=chance.choice(
                ["10.0.0.1", "10.0.1.200", "192.0.2.77", "2001:db8::1", "2001:db8::ff", source]
            ),
            userAgent=chance.choice(["aws-cli/2.15 Python/3.11", "Boto3/1.34 (Linux)", "console"]),
        )  # fmt: skip
        if source == "s3.amazonaws.com":
            bucket = chance.choice(["logs-prod", "logs-test", "photos"])
            record["requestParameters"] = {
                "bucketName": bucket,
                "key": f"a/{index}/Größe {index % 7}.txt",
                "maxKeys": index % 3,
            }
            record["resources"] = [
                {"ARN": f"arn:aws:s3:::{bucket}/a/{index}"},
                {"ARN": f"arn:aws:s3:::{bucket}", "type": "AWS::S3::Bucket"},
            ]
            record["additionalEventData"] = {"bytesTransferredOut": index * 37, "x-amz-id-2": "Q="}
        if source == "sts.amazonaws.com":
            record["requestParameters"] = {"roleArn": "arn:aws:iam::1:role/Admin",
                                           "durationSeconds": 900 * (index % 5)}  # fmt: skip
        if index % 6 == 0:
            record["errorCode"] = chance.choice(["AccessDenied", "NoSuchBucket"])
            record["errorMessage"] = f"User {user} is not authorized: (policy) at line {index}"
        events.append(stored(record, account=account))
    return events


def peculiar() -> list[Stored]:
    """What is allowed and rarely seen; each has to be found by its ordinary fields at least."""
    base = NOW - 5 * DAY
    return [
        stored(record_at(base, "plain-id-1", requestParameters={"a.b": "dotted", "a": {"b": "x"}})),
        stored(record_at(base, "plain-id-2", requestParameters={"n": 5, "t": "5", "b": True})),
        stored(record_at(base, "plain-id-3", requestParameters={"n": [1, [2, 3]], "m": [{}]})),
        stored(record_at(base, "plain-id-4", requestParameters="just text")),
        stored(record_at(base, "plain-id-5", requestParameters=[1, "two", None])),
        stored(record_at(base, "plain-id-6", eventName={"odd": ["x", "y"]})),
        stored(record_at(base, "plain-id-7", userIdentity="nobody")),
        stored(record_at(base, "plain-id-8", requestParameters={"": "no name", "x..y": "dots"})),
        stored(record_at(base, "plain-id-9", requestParameters={"long": "ab" * 4_000 + "end"})),
        stored(record_at(base, "plain-id-A", requestParameters={"lines": "one\ntwo\tthree"})),
        stored(record_at(base, "plain-id-B", requestParameters={"star": "a*b?c", "back": "a\\b"})),
        stored(record_at(base, "plain-id-C", ownMember={"deep": ["free text there"]})),
        stored(record_at(base, "plain-id-D", requestParameters={"colon:key": "v", "sp ace": "w"})),
        stored(record_at(base, "plain-id-E", additionalEventData={"bytesTransferredOut": "77"})),
        stored(record_at(base, "plain-id-F", additionalEventData={"bytesTransferredOut": 1.5})),
        stored(record_at(base, "plain-id-G", requestParameters={"e": "", "zero": 0, "no": False})),
        stored(record_at(base), derived="0d0d0d0d-0000-5000-8000-000000000001"),
        stored(record_at(base, "both"), account="111122223333"),
        stored(record_at(base, "both"), account="999988887777"),
        stored(record_at(base, "Ünïcode-ß"), region="eu-central-9"),
        stored(record_at(base, "root-1", userIdentity={"type": "Root", "accountId": "1"})),
    ]


QUERIES = [
    "", "*", "*:*",
    "eventName:GetObject", "eventName:getobject", "eventName:Get*", "eventName:*Object",
    "eventName:?etObject", "eventName:*", "eventName:(GetObject OR PutObject)",
    "eventSource:s3.amazonaws.com eventName:GetObject", "eventSource:s3* -eventName:Put*",
    "NOT eventName:GetObject", "-eventName:GetObject", "+eventName:GetObject",
    "* AND NOT eventName:GetObject", "NOT (eventName:GetObject OR errorCode:*)",
    "eventName:GetObject OR eventName:PutObject AND userIdentity.userName:bob",
    "(eventName:GetObject OR eventName:PutObject) AND userIdentity.userName:bob",
    "NOT NOT eventName:GetObject", "NOT *", "errorCode:* NOT errorCode:AccessDenied",
    "_exists_:errorCode", "NOT _exists_:errorCode", "_exists_:requestParameters",
    "_exists_:requestParameters.key", "_exists_:userIdentity.sessionContext", "_exists_:eventTime",
    "_exists_:resources", "_exists_:requestParameters.n", "_exists_:requestParameters.m",
    "_exists_:requestParameters.e", "_exists_:eventID", "_exists_:sharedEventID",
    "readOnly:true", "readOnly:false", "readOnly:True",
    "userIdentity.arn:arn:aws:iam::111122223333:user/alice", "userIdentity.arn:*:user/a*",
    "userIdentity.userName:Carol", "userIdentity.userName:carol", "userIdentity.userName:e.f",
    "userIdentity.sessionContext.attributes.mfaAuthenticated:true",
    "userIdentity.sessionContext.attributes.creationDate:>2025-12-31",
    "userIdentity.sessionContext.attributes.creationDate:[2025-12-31T12 TO 2025-12-31T18:30]",
    "userIdentity.sessionContext.attributes.creationDate:*",
    "requestParameters.bucketName:logs-prod", "requestParameters.bucketName:logs-*",
    'requestParameters.key:"a/5/Größe 5.txt"', "requestParameters.key:*Größe*",
    "requestParameters.maxKeys:2", "requestParameters.n:2", "requestParameters.n:5",
    "requestParameters.t:5", "requestParameters.b:true", "requestParameters.zero:0",
    "requestParameters.no:false", "requestParameters.a.b:dotted", "requestParameters.a.b:x",
    "requestParameters.value:*text", "requestParameters.value:two", "requestParameters.value:1",
    'eventName:"{\\"odd\\":[\\"x\\",\\"y\\"]}"', "userIdentity.value:nobody",
    'requestParameters.:"no name"', "requestParameters.x..y:dots",
    "requestParameters.long:" + "ab" * 4_000 + "end", "requestParameters.long:abab*",
    "requestParameters.long:*end", 'requestParameters.lines:"one\ntwo\tthree"',
    "requestParameters.lines:one*three", "requestParameters.star:a\\*b\\?c",
    "requestParameters.star:a*c", 'requestParameters.back:"a\\\\b"',
    "requestParameters.back:a\\\\b",
    "requestParameters.colon\\:key:v", "requestParameters.sp\\ ace:w", 'requestParameters.e:""',
    "resources.ARN:arn:aws:s3:::photos", "resources.type:AWS::S3::Bucket",
    "sourceIPAddress:10.0.0.1", "sourceIPAddress:10.0.0.0/16", "sourceIPAddress:2001:db8::/64",
    "sourceIPAddress:2001:db8::1", "sourceIPAddress:[10.0.0.1 TO 10.0.1.0}",
    "sourceIPAddress:>192.0.2.76", "sourceIPAddress:s3.amazonaws.com", "sourceIPAddress:10.*",
    "sourceIPAddress:{2001:db8::1 TO *]", "sourceIPAddress:<=10.0.0.1",
    "additionalEventData.bytesTransferredOut:>5000", "additionalEventData.bytesTransferredOut:<=77",
    "additionalEventData.bytesTransferredOut:{77 TO 1e4]",
    "additionalEventData.bytesTransferredOut:[1.5 TO 77]",
    "additionalEventData.bytesTransferredOut:77", "additionalEventData.bytesTransferredOut:1.5",
    "requestParameters.durationSeconds:[900 TO 1800}",
    "eventTime:2025-12-31", "eventTime:>2025-12-30", "eventTime:>=2025-12-30",
    "eventTime:<2025-12-30", "eventTime:<=2025-12-30", "eventTime:[2025-12-29 TO 2025-12-30}",
    "eventTime:[now-36h TO now-12h]", "eventTime:>=12h", "eventTime:2025-12-31T21",
    "eventTime:[2025-12-31T12:00:00+02:00 TO *]", "eventTime:{* TO 2025-12-30T10:10}",
    "eventTime:[2025-12-31 TO 2025-12-01]", "NOT eventTime:>=12h", "eventTime:2025",
    "sourceIPAddress:[10.0.1.0 TO 10.0.0.0]", "sourceIPAddress:{10.0.0.1 TO 10.0.0.1}",
    "additionalEventData.bytesTransferredOut:{77 TO 1]", "sourceIPAddress:[* TO *]",
    "additionalEventData.bytesTransferredOut:[* TO *]", "eventTime:{2025-12-31 TO 2025-12-31}",
    "sourceIPAddress:::ffff:10.0.0.1/120", "sourceIPAddress:[::ffff:a00:1 TO 10.0.0.1]",
    "eventTime:2025-12 readOnly:true",
    "accessdenied", "AccessDenied", "not authorized", '"not authorized"', '"authorized not"',
    "alice authorized", "größe", "auth*", "a?ice", "aws-cli/2.15", "python", "s3.amazonaws.com",
    "arn:aws:iam::111122223333:user/alice", '"console"', "linux boto3", "free text",
    "2001:db8::1", "111122223333", "plain-id-1", "two three", '"alice console"', "1.5", "true",
    "Username:alice", "Username:bob-session", "Username:root", "ResourceName:photos",
    "ResourceName:arn:aws:s3:::photos", "ResourceType:AWS::S3::Bucket", "AccessKeyId:AKIA3",
    "EventName:AssumeRole", "EventSource:iam.amazonaws.com", "ReadOnly:true", "EventId:both",
    "eventID:both", "eventID:plain-id-?", "eventID:plain*",
    "eventID:0d0d0d0d-0000-5000-8000-000000000001", "eventID:Ünïcode-ß",
    "opentrail.account:444455556666", "opentrail.region:eu-central-9", "opentrail.region:eu-*",
    "awsRegion:eu-west-1", "opentrail.account:*",
]  # fmt: skip

FINDS_NOTHING = [
    "eventName:getobject", "NOT *", "_exists_:requestParameters.m", "_exists_:sharedEventID",
    "readOnly:True", "userIdentity.userName:carol", "requestParameters.long:*end",
    "eventTime:[2025-12-31 TO 2025-12-01]", '"authorized not"', "plain-id-1", '"alice console"',
    "1.5", "sourceIPAddress:[10.0.1.0 TO 10.0.0.0]", "sourceIPAddress:{10.0.0.1 TO 10.0.0.1}",
    "additionalEventData.bytesTransferredOut:{77 TO 1]",
    "eventTime:{2025-12-31 TO 2025-12-31}",
]  # fmt: skip
"""Those of QUERIES whose right answer is empty; all others must find something."""


ERRORS = [
    "a AND", "a OR OR b", "(a", "a)", "()", "NOT", "-", "a~", "a~2", "a^3", '"a b"~2', "x\\", '"x',
    "eventName:", "eventName:[a TO b]", "eventName:>5", "eventTime:yesterday", "eventTime:2025*",
    "eventTime:[a TO", "sourceIPAddress:[a TO b]", "additionalEventData.bytesTransferredOut:>x",
    "nosuch:x", "userName:x", "requestParameters:x", "eventID:*b", "requestID:?b", "*bare", "&& a",
    "a || b", "!a", "[a TO b]", "a(b)", "---", "(" * 51 + "a" + ")" * 51, " ".join(["a"] * 501),
    "NOT " * 51 + "a", "a/b*", "_exists_:", "_exists_:nosuch",
]  # fmt: skip


def walk(
    engine: Engine, query: str, limit: int, **options: Any
) -> tuple[list[tuple[str, str]], int]:
    """Everything a query finds, page by page: eventID and account in order, and the pages."""
    found: list[tuple[str, str]] = []
    cursor: str | None = None
    pages = 0
    while True:
        page = engine.search(query, limit=limit, cursor=cursor, **options)
        found += [(hit.event_id, hit.account) for hit in page.hits]
        pages += 1
        assert len(page.hits) == limit or not page.more
        cursor = page.next_cursor
        if cursor is None:
            return found, pages
        options = {name: value for name, value in options.items() if name == "scope"}


def expected(events: Sequence[Stored], query: str, now: int = NOW) -> list[Stored]:
    node = parse(query)
    return sorted((each for each in events if matches(node, each, now)), key=lambda e: e.order)


def names(events: Sequence[Stored]) -> list[tuple[str, str]]:
    return [(each.event_id, each.account) for each in events]


_VALUES = st.sampled_from(
    [
        "eventName:GetObject", "eventName:Get*", "eventName:*ob*", "userIdentity.userName:alice",
        "readOnly:true", "errorCode:*", "_exists_:resources", "sourceIPAddress:10.0.0.0/8", "bob",
        "eventTime:>=1d", "eventTime:<2025-12-30", "awsRegion:eu-west-1", "*", "authorized",
        "requestParameters.maxKeys:1", "additionalEventData.bytesTransferredOut:>3000", "a?ice",
        '"not authorized"', "opentrail.account:444455556666", "Username:Carol",
    ]
)  # fmt: skip
_QUERIES = st.recursive(
    _VALUES,
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT ({one})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) AND ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) OR ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) -({two[1]})"),
    ),
    max_leaves=6,
)


EVENTS = ordinary() + peculiar()


class EngineContract:
    """Subclass it; its module gives `events` (EVENTS), `filled` with them and an empty `store`."""

    @pytest.mark.parametrize("query", QUERIES, ids=lambda text: text[:60] or "empty")
    def test_a_query_finds_what_its_meaning_says_in_order(
        self, filled: Store, events: list[Stored], query: str
    ) -> None:
        wanted = names(expected(events, query))
        assert walk(filled.engine, query, 10_000)[0] == wanted
        total = filled.engine.total(query)
        assert (total.count, total.exact) == (len(wanted), True)

    def test_any_combination_of_clauses_means_what_it_says(
        self, filled: Store, events: list[Stored]
    ) -> None:
        # The property is made here, once per engine: one that several classes inherited would
        # mix the examples of one engine with the failures of another.
        @settings(max_examples=60, deadline=None)
        @given(query=_QUERIES)
        def holds(query: str) -> None:
            assert walk(filled.engine, query, 10_000)[0] == names(expected(events, query))

        holds()

    def test_the_queries_are_not_vacuous(self, events: list[Stored]) -> None:
        empty = {query for query in QUERIES if not expected(events, query)}
        assert empty == set(FINDS_NOTHING)

    @pytest.mark.parametrize("limit", [1, 2, 7, 50])
    @pytest.mark.parametrize("query", ["*", "eventName:GetObject", "NOT readOnly:true", "alice"])
    def test_pages_of_any_size_make_up_the_whole_answer(
        self, filled: Store, events: list[Stored], query: str, limit: int
    ) -> None:
        wanted = names(expected(events, query))
        found, pages = walk(filled.engine, query, limit)
        assert found == wanted
        assert pages == max(1, -(-len(wanted) // limit))

    def test_the_records_come_back_byte_for_byte(self, filled: Store, events: list[Stored]) -> None:
        hits = filled.engine.search("*", limit=1000).hits
        by_name = {(each.event_id, each.account): each for each in events}
        assert len(hits) == len(events)
        for hit in hits:
            event = by_name[hit.event_id, hit.account]
            assert hit.record == raw(event)
            assert (hit.time_s, hit.region) == (event.time_s, event.region)

    def test_start_and_end_belong_to_the_answer(self, filled: Store, events: list[Stored]) -> None:
        seconds = sorted({each.time_s for each in events})
        start, end = seconds[3], seconds[-3]
        wanted = [e for e in expected(events, "*") if start <= e.time_s <= end]
        assert walk(filled.engine, "*", 13, start=start, end=end)[0] == names(wanted)
        assert filled.engine.total("*", start=start, end=end).count == len(wanted)
        one = [e for e in expected(events, "*") if e.time_s == start]
        assert walk(filled.engine, "*", 13, start=start, end=start)[0] == names(one)
        assert walk(filled.engine, "*", 13, start=end, end=start)[0] == []

    @pytest.mark.parametrize(
        "scope",
        [
            Scope(accounts=("444455556666",)),
            Scope(accounts=("1111*", "9999*")),
            Scope(regions=("eu-*", "us-east-1")),
            Scope(accounts=("4444????6666",), regions=("ap-south-?",)),
            Scope(accounts=()),
            Scope(accounts=("5*",)),
        ],
        ids=str,
    )
    def test_nothing_outside_the_scope_is_found_or_counted(
        self, filled: Store, events: list[Stored], scope: Scope
    ) -> None:
        wanted = [e for e in expected(events, "*") if scope.allows(e.account, e.region)]
        assert walk(filled.engine, "*", 11, scope=scope)[0] == names(wanted)
        counted = filled.engine.count("*", "opentrail.account", scope=scope)
        assert dict(counted.buckets) == Counter(each.account for each in wanted)
        seen = filled.engine.get("both", scope=scope)
        assert [hit.account for hit in seen] == [e.account for e in wanted if e.event_id == "both"]

    @pytest.mark.parametrize("query", ["*", "eventName:Get*", "alice", "NOT errorCode:*"])
    @pytest.mark.parametrize(
        "field",
        [
            "eventName", "userIdentity.userName", "requestParameters.bucketName", "awsRegion",
            "resources.ARN", "Username", "opentrail.region", "requestParameters.maxKeys",
            "userIdentity.sessionContext.sessionIssuer.userName", "readOnly", "sourceIPAddress",
        ],
    )  # fmt: skip
    def test_counts_by_value_are_exact(
        self, filled: Store, events: list[Stored], query: str, field: str
    ) -> None:
        wanted = expected(events, query)
        counts = Counter(value for each in wanted for value in set(values(field, each)))
        ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0].encode()))
        found = filled.engine.count(query, field, top=3)
        assert found.buckets == ranked[:3]
        assert (found.matched, found.other) == (len(wanted), sum(n for _, n in ranked[3:]))

    @pytest.mark.parametrize("query", ["*", "eventName:Get*", "alice", "eventTime:>2025-12-30"])
    @pytest.mark.parametrize(("by", "width"), [("hour", 3600), ("day", DAY)])
    def test_counts_by_time_are_exact(
        self, filled: Store, events: list[Stored], query: str, by: str, width: int
    ) -> None:
        start, end = NOW - 3 * DAY - 1234, NOW - 4321
        wanted = [e for e in expected(events, query) if start <= e.time_s <= end]
        counts = Counter(when(each.time_s // width * width) for each in wanted)
        found = filled.engine.count(query, by, start=start, end=end)
        assert found.buckets == sorted(counts.items())
        assert found.matched == len(wanted)

    def test_a_total_is_counted_to_its_limit_only(self, filled: Store) -> None:
        total = filled.engine.total("*", limit=20)
        assert (total.count, total.exact) == (20, False)

    def test_an_event_is_found_by_its_id_in_every_account(self, filled: Store) -> None:
        assert [hit.account for hit in filled.engine.get("both")] == [
            "111122223333",
            "999988887777",
        ]
        assert len(filled.engine.get("0d0d0d0d-0000-5000-8000-000000000001")) == 1
        assert list(filled.engine.get("bot")) == []
        assert list(filled.engine.get("b*")) == []

    @pytest.mark.parametrize("query", ERRORS, ids=lambda text: text[:40])
    def test_an_error_has_its_place_and_is_the_same_everywhere(
        self, filled: Store, query: str
    ) -> None:
        with pytest.raises(QueryError) as parsed:
            parse(query)
        asked: list[Callable[[], object]] = [
            lambda: filled.engine.search(query),
            lambda: filled.engine.total(query),
            lambda: filled.engine.count(query, "hour"),
        ]
        for ask in asked:
            with pytest.raises(QueryError) as raised:
                ask()
            assert str(raised.value) == str(parsed.value)
            assert 0 <= raised.value.start <= raised.value.end <= len(query)
            assert raised.value.hint

    @pytest.mark.parametrize("field", ["eventID", "requestParameters", "eventTime", "nosuch"])
    def test_what_cannot_be_counted_by_is_refused(self, filled: Store, field: str) -> None:
        with pytest.raises(QueryError):
            filled.engine.count("*", field)

    def test_a_cursor_of_another_question_is_refused(self, filled: Store) -> None:
        cursor = filled.engine.search("*", limit=5, start=NOW - 9 * DAY).next_cursor
        assert cursor is not None
        questions: list[Callable[[], object]] = [
            lambda: filled.engine.search("alice", limit=5, cursor=cursor),
            lambda: filled.engine.search("*", cursor=cursor, scope=Scope(accounts=("1*",))),
            lambda: filled.engine.search("*", cursor=cursor, start=NOW - 8 * DAY),
            lambda: filled.engine.search("*", cursor=cursor, end=NOW),
            lambda: filled.engine.search("*", cursor=cursor[:-3]),
            lambda: filled.engine.search("*", cursor="nonsense"),
            lambda: filled.engine.search("*", cursor=""),
        ]
        for ask in questions:
            with pytest.raises(CursorError):
                ask()
        assert filled.engine.search("*", cursor=cursor, start=NOW - 9 * DAY).hits

    def test_a_relative_time_means_the_same_on_every_page(
        self, store: Store, events: list[Stored]
    ) -> None:
        store.add(events)
        wanted = names(expected(events, "eventTime:>=30h", NOW))
        page = store.engine.search("eventTime:>=30h", limit=20)
        found = [(hit.event_id, hit.account) for hit in page.hits]
        while page.next_cursor:
            store.clock.advance(3600)
            page = store.engine.search("eventTime:>=30h", limit=20, cursor=page.next_cursor)
            found += [(hit.event_id, hit.account) for hit in page.hits]
        assert found == wanted

    def test_events_that_arrive_meanwhile_disturb_no_page(self, store: Store) -> None:
        first = [stored(record_at(NOW - 50 + i // 10, f"first-{i:04d}")) for i in range(300)]
        store.add(first)
        found: list[Hit] = []
        cursor: str | None = None
        for step in range(1000):
            page = store.engine.search("*", limit=7, cursor=cursor)
            found += page.hits
            cursor = page.next_cursor
            if cursor is None:
                break
            if step < 12:
                store.add(
                    [
                        stored(record_at(NOW - 50 + i % 31, f"later-{step:02d}-{i:04d}"))
                        for i in range(20)
                    ]
                )
        seen = [(hit.event_id, hit.account) for hit in found]
        assert len(set(seen)) == len(seen), "an event came twice"
        assert {each for each in seen if each[0].startswith("first")} == set(names(first))
        assert seen == names(sorted((as_stored(hit) for hit in found), key=lambda e: e.order))

    @pytest.mark.parametrize("kind", ["uuid", "alike", "accounts"])
    def test_ties_in_one_second_are_paged_through_by_id_and_account(
        self, store: Store, kind: str
    ) -> None:
        chance = random.Random(11)
        ids = {
            "uuid": [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(400)],
            "alike": [f"the-same-beginning-{i:05d}" for i in range(400)],
            "accounts": ["one-id"] * 400,
        }[kind]
        events = [
            stored(record_at(NOW - 100, event_id), account=f"{i:012d}")
            for i, event_id in enumerate(ids)
        ]
        events += [stored(record_at(NOW - 99, "newer")), stored(record_at(NOW - 101, "older"))]
        chance.shuffle(events)
        store.add(events)
        wanted = names(sorted(events, key=lambda each: each.order))
        for limit in (1, 33, 400, 402):
            if limit == 1:
                assert [h.event_id for h in store.engine.search("*", limit=1).hits] == ["newer"]
                continue
            assert walk(store.engine, "*", limit)[0] == wanted

    def test_a_question_ends_with_its_deadline_or_its_caller(self, filled: Store) -> None:
        late = Deadline(filled.clock, 5)
        filled.clock.advance(6)
        gone = Deadline(filled.clock, 5)
        gone.cancel()
        for deadline in (late, gone):
            for ask in (
                lambda: filled.engine.search("*", deadline=deadline),  # noqa: B023
                lambda: filled.engine.count("*", "hour", deadline=deadline),  # noqa: B023
                lambda: filled.engine.total("*", deadline=deadline),  # noqa: B023
                lambda: filled.engine.get("both", deadline=deadline),  # noqa: B023
            ):
                with pytest.raises(SearchTimeoutError):
                    ask()
        filled.clock.jump(-6)


def as_stored(hit: Hit) -> Stored:
    return Stored({}, hit.account, hit.region, hit.event_id, hit.time_s)


def raw(event: Stored) -> bytes:
    """The bytes of an event's record as a source wrote them."""
    return json.dumps(event.record, ensure_ascii=False, separators=(", ", ": ")).encode()
