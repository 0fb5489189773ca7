"""What a message of a queue says: which objects have come.

S3's notification      {"Records": [{"eventName": "ObjectCreated:Put", "s3": {…}}]}    key encoded
CloudTrail's own       {"s3Bucket": "b", "s3ObjectKey": ["k", …]}
EventBridge            {"source": "aws.s3", "detail-type": "Object Created", "detail": {…}}
SNS around any of them {"Type": "Notification", "Message": "…"}
"""

import json
from typing import Any
from urllib.parse import unquote_plus

_DEPTH = 3
_CLOUDTRAIL_TEST = "CloudTrail validation message."


def objects_in(body: str, depth: int = 0) -> list[tuple[str, str]]:
    """Buckets and keys; none for what is no news of an object. ValueError says what is wrong."""
    if body.strip() == _CLOUDTRAIL_TEST:
        return []
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(message, dict):
        raise ValueError("is JSON, but not an object")
    try:
        if message.get("Type") == "Notification" and "Message" in message:
            if depth >= _DEPTH:
                raise ValueError(f"is wrapped more than {_DEPTH} times")
            return objects_in(str(message["Message"]), depth + 1)
        if "s3ObjectKey" in message:
            keys = message["s3ObjectKey"]
            return [
                (_text(message["s3Bucket"]), _text(key))
                for key in (keys if isinstance(keys, list) else [keys])
            ]
        if message.get("Event") == "s3:TestEvent":
            return []
        if isinstance(message.get("Records"), list):
            return [
                (
                    _text(each["s3"]["bucket"]["name"]),
                    unquote_plus(_text(each["s3"]["object"]["key"])),
                )
                for each in message["Records"]
                if "ObjectCreated" in each["eventName"]
            ]
        if message.get("source") == "aws.s3":
            if message.get("detail-type") != "Object Created":
                return []
            detail = message["detail"]
            return [(_text(detail["bucket"]["name"]), _text(detail["object"]["key"]))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"misses what it should name: {error}") from None
    raise ValueError("is of no known form")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r:.40} is not a name")
    return value
