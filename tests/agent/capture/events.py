"""Records and layouts for the tests of capture."""

import json
import random
from typing import Any

ACCOUNT = "111122223333"


def record(number: int, **members: Any) -> dict[str, Any]:
    """A record as CloudTrail writes it, in miniature; `None` takes a member away."""
    whole = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT, "userName": "ann"},
        "eventTime": f"2026-11-24T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": "eu-west-1",
        "requestParameters": {"key": 'a},{"b', "list": [{"a": number}, {}, []], "none": None},
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "recipientAccountId": ACCOUNT,
    } | members
    return {key: value for key, value in whole.items() if value is not None}


def line(number: int, **members: Any) -> bytes:
    """A record as one compact line, without its line feed."""
    return json.dumps(record(number, **members), separators=(",", ":")).encode()


def lines(*numbers: int) -> bytes:
    return b"".join(line(number) + b"\n" for number in numbers)


def records_file(*numbers: int, indent: int | None = None) -> bytes:
    """CloudTrail's own file."""
    whole = {"Records": [record(number) for number in numbers]}
    separators = (",", ":") if indent is None else None
    return json.dumps(whole, indent=indent, separators=separators).encode()


def chunks(data: bytes, seed: int, largest: int) -> list[bytes]:
    """`data` cut at random."""
    source = random.Random(seed)
    cut: list[bytes] = []
    at = 0
    while at < len(data):
        step = source.randint(1, largest)
        cut.append(data[at : at + step])
        at += step
    return cut
