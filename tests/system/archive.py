"""Reads a local archive as a stranger with a copy of the folder would, and checks what it claims.

The manifests say which objects there are, with sha256 and counts, each naming the one before it in
its folder's chain.  Every object must be in exactly one of them, be one gzip member, hold
`{"Records":[…]}`, and lie under the account, region and day of its records.
"""

import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

KEY = re.compile(
    r"AWSLogs/(?P<account>\d{12})/CloudTrail/(?P<region>[a-z0-9-]+)/(?P<day>\d{4}/\d\d/\d\d)/"
    r"(?P=account)_CloudTrail_(?P=region)_\d{8}T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz"
)
DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    line: bytes
    account: str
    region: str
    day: str
    key: str


@dataclass(slots=True)
class Archive:
    records: list[ArchivedRecord] = field(default_factory=list)
    objects: int = 0
    manifests: int = 0
    problems: list[str] = field(default_factory=list)


def read_archive(home: Path) -> Archive:
    """Everything in the archive of `home`; what does not hold together is a problem, not raised."""
    archive = Archive()
    for bucket in sorted((home / "archive").glob("*")):
        claimed: dict[str, str] = {}
        for path in sorted(bucket.rglob("OpenTrail-Manifest/**/*.json*")):
            _read_manifest(bucket, path, archive, claimed)
        for path in sorted(bucket.rglob("*")):
            key = path.relative_to(bucket).as_posix()
            if path.is_file() and "OpenTrail-Manifest" not in key:
                _read_object(path, key, claimed, archive)
        for key in claimed:
            if not (bucket / key).exists():
                archive.problems.append(f"{key}: named by {claimed[key]} but not there")
    return archive


def _read_manifest(bucket: Path, path: Path, archive: Archive, claimed: dict[str, str]) -> None:
    name = path.relative_to(bucket).as_posix()
    content = path.read_bytes()
    manifest = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    archive.manifests += 1
    for entry in manifest["objects"]:
        key = entry["key"]
        if key in claimed:
            archive.problems.append(f"{key}: named by {claimed[key]} and by {name}")
        claimed[key] = name
        if not (bucket / key).exists():
            continue
        text = gzip.decompress((bucket / key).read_bytes())
        if hashlib.sha256(text).hexdigest() != entry["sha256"]:
            archive.problems.append(f"{key}: its sha256 is not the one in {name}")


def _read_object(path: Path, key: str, claimed: dict[str, str], archive: Archive) -> None:
    found = KEY.fullmatch(key)
    if found is None:
        archive.problems.append(f"{key}: not a CloudTrail key")
        return
    if key not in claimed:
        archive.problems.append(f"{key}: in no manifest")
    archive.objects += 1
    packed = path.read_bytes()
    decompressor = zlib.decompressobj(31)
    text = decompressor.decompress(packed) + decompressor.flush()
    if not decompressor.eof or decompressor.unused_data:
        archive.problems.append(f"{key}: not exactly one gzip member")
    if not (text.startswith(b'{"Records":[') and text.endswith(b"]}")):
        archive.problems.append(f'{key}: not {{"Records":[…]}}')
        return
    for line in split_records(text):
        archive.records.append(
            ArchivedRecord(line, found["account"], found["region"], found["day"], key)
        )


def split_records(text: bytes) -> list[bytes]:
    """The records' own bytes, between the brackets of `{"Records":[…]}`."""
    # Latin-1 keeps every byte one character, so offsets are offsets into the bytes.
    body = text[len(b'{"Records":[') : -len(b"]}")].decode("latin-1")
    lines, position = [], 0
    while position < len(body):
        _, end = DECODER.raw_decode(body, position)
        lines.append(body[position:end].encode("latin-1"))
        position = end + 1  # the comma
    return lines
