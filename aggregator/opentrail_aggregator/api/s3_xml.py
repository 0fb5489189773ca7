"""Answers of S3 as XML: only what its clients read."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
Member = tuple[str, "str | list[Member]"]


def document(name: str, members: Iterable[Member]) -> bytes:
    """A document whose members are texts or members again."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<{name} xmlns="{XMLNS}">{_inner(members)}</{name}>'.encode()


def _inner(members: Iterable[Member]) -> str:
    return "".join(
        f"<{name}>{_inner(value) if isinstance(value, list) else escape(value)}</{name}>"
        for name, value in members
    )


def url_encoded(text: str) -> str:
    """As encoding-type=url asks for it."""
    return quote(text, safe="/")


def iso_time(mtime_ns: int) -> str:
    """LastModified of a listing."""
    at = datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.000Z"


def entity_tag(key: str, size: int, mtime_ns: int) -> str:
    """Changes with the object. The hyphen says that it is no MD5 of the content, as for objects
    that were uploaded in parts; so no client compares it with one."""
    text = f"{key}\0{size}\0{mtime_ns}"
    return f'"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}-1"'
