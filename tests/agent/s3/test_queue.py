"""A bucket followed by an SQS queue (moto's) on the real S3 server: deleted when acknowledged."""

import asyncio
import dataclasses
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.settings import Seconds
from tests.real.versitygw import S3Server

from .rig import Rig, key_of, records
from .test_messages import by_sns

pytest.importorskip("flask", reason="moto[server] is not installed: SQS is not tried")
pytestmark = [
    pytest.mark.slow,
    # moto and what it stands on warn about their own future.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def moto_endpoint() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


class Queued(Rig):
    """The same with a queue, and a topic in front of it."""

    def __init__(self, server: S3Server, state: Path, bucket: str, endpoint: str) -> None:
        import boto3

        def client(service: str) -> Any:
            return boto3.Session().client(service, endpoint_url=endpoint, region_name="us-east-1")

        self.sqs, self._sns = client("sqs"), client("sns")
        self.url: str = self.sqs.create_queue(QueueName=bucket)["QueueUrl"]
        super().__init__(
            server, state, bucket, queue=self.url, queue_endpoint=endpoint, visibility=60.0
        )

    def send(self, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.url, MessageBody=text)

    def publish(self, body: object) -> None:
        """By way of a real subscription of SNS."""
        topic = self._sns.create_topic(Name=self.bucket)["TopicArn"]
        names = ["QueueArn"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        arn = attributes["Attributes"]["QueueArn"]
        self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        self._sns.publish(TopicArn=topic, Message=json.dumps(body))

    @property
    def messages(self) -> tuple[int, int]:
        """Waiting, and received but not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        waiting, hidden = (int(found["Attributes"][name]) for name in names)
        return waiting, hidden

    def acknowledge(self) -> None:
        self.spool.acknowledge(self.spool.last_sequence)


@pytest.fixture
def rig(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moto_endpoint: str
) -> Queued:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return Queued(s3_server, tmp_path, s3_server.make_bucket(), moto_endpoint)


def s3_event(bucket: str, key: str) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}


async def test_every_form_leads_to_its_objects_and_is_deleted_when_acknowledged(
    rig: Queued,
) -> None:
    keys = [key_of(f"20261124T10{number:02}Z") for number in range(5)]
    for number, key in enumerate(keys):
        rig.put(key, records(number))
    rig.send(s3_event(rig.bucket, keys[0]))
    rig.publish(s3_event(rig.bucket, keys[1]))
    rig.publish({"s3Bucket": rig.bucket, "s3ObjectKey": keys[2:4]})
    detail = {"bucket": {"name": rig.bucket}, "object": {"key": keys[4]}}
    rig.send({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})
    rig.send({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": rig.bucket})
    rig.send(by_sns("CloudTrail validation message."))
    rig.send(s3_event(rig.bucket, key_of("20261124T1000Z", folder="CloudTrail-Digest")))
    rig.send(s3_event("another-bucket", keys[0]))
    async with rig.following():
        await rig.until_read(0, 1, 2, 3, 4)
        # What concerns no object of ours needs no acknowledgement.
        await rig.until("only ours are held", lambda: rig.messages == (0, 4))
        rig.acknowledge()
        await rig.until("they are deleted", lambda: rig.messages == (0, 0))
        assert sorted((await rig.numbers()).elements()) == [0, 1, 2, 3, 4]
        assert rig.source.reported_at_ns > 0


async def test_a_poison_message_goes_to_quarantine_and_the_others_go_on(rig: Queued) -> None:
    rig.put(key_of("20261124T1005Z"), records(1))
    rig.send("this is no notification")
    rig.send(s3_event(rig.bucket, key_of("20261124T1000Z", "gone")))
    rig.send(s3_event(rig.bucket, key_of("20261124T1005Z")))
    async with rig.following():
        await rig.until_read(1)

        async def are_there() -> bool:
            return await rig.refused() == ["bad_notification"] * 2

        await rig.until("both are refused", are_there)
        assert rig.messages == (0, 3)
        rig.acknowledge()
        await rig.until("all are deleted", lambda: rig.messages == (0, 0))
    assert rig.metrics.value("opentrail_agent_s3_messages_total", what="poison") == 2


@pytest.mark.long
async def test_a_message_is_kept_hidden_until_acknowledged_and_comes_again_after_a_crash(
    rig: Queued,
) -> None:
    rig.settings = dataclasses.replace(rig.settings, visibility=Seconds(5))
    rig.put(key_of("20261124T1005Z"), records(1))
    rig.send(s3_event(rig.bucket, key_of("20261124T1005Z")))
    async with rig.following():
        await rig.until_read(1)
        for _ in range(8):
            await asyncio.sleep(1)
            assert rig.messages == (0, 1)
        assert (await rig.numbers())[1] == 1
    async with rig.following():

        async def is_there_twice() -> bool:
            return (await rig.numbers())[1] == 2  # The aggregator counts a copy.

        await rig.until("it is read again", is_there_twice)
        rig.acknowledge()
        await rig.until("it is deleted", lambda: rig.messages == (0, 0))


async def test_a_message_whose_object_may_not_be_read_stays_in_the_queue(
    rig: Queued, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.make_user("nobody", "nobody-secret")
    for name, value in s3_server.environment("nobody", "nobody-secret").items():
        monkeypatch.setenv(name, value)
    rig.put(key_of("20261124T1005Z"), records(1))
    rig.send(s3_event(rig.bucket, key_of("20261124T1005Z")))
    async with rig.following():
        await rig.until("it is told", lambda: "s3:GetObject" in str(rig.metrics.problems()))
        assert rig.messages == (0, 1)
        assert await rig.refused() == []
