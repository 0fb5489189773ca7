"""Reads a local archive as a stranger with a copy of the folder would, and checks what it claims.

The manifests say which objects there are, with sha256, counts and the log position of each record;
each names the manifest of the trail's cut before.  Every object must be in exactly one of them, be
one gzip member, hold `{"Records":[…]}`, and lie under the account and region of its records, in an
entry for their hour.
"""

import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

MANIFESTS = "OpenTrail-Manifest"
DIGESTS = "CloudTrail-Digest"
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
    hour: str
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
        manifests = {
            path.relative_to(bucket).as_posix(): path.read_bytes()
            for path in bucket.rglob("*.json.gz")
            if MANIFESTS in path.parts
        }
        archive.manifests += len(manifests)
        texts = {key: gzip.decompress(packed) for key, packed in manifests.items()}
        archive.problems += chain_problems(texts)
        entries = _entries(texts, archive.problems)
        _read_objects(bucket, entries, archive)
    return archive


def chain_problems(texts: dict[str, bytes]) -> list[str]:
    """Whether the manifests of each trail are one chain, and no log position is in two objects."""
    problems = []
    trails: dict[str, dict[int, tuple[str, dict[str, Any]]]] = {}
    for key, text in texts.items():
        manifest = json.loads(text)
        chain = trails.setdefault(manifest["trail"], {})
        if manifest["sequence"] in chain:
            problems.append(f"{key}: the second manifest number {manifest['sequence']}")
        chain[manifest["sequence"]] = key, manifest
    for chain in trails.values():
        if sorted(chain) != list(range(1, len(chain) + 1)):
            problems.append(f"manifest numbers have gaps: {sorted(chain)[:20]}")
        seen: set[int] = set()
        for number, (key, manifest) in sorted(chain.items()):
            before = chain.get(number - 1)
            said = manifest["previous"]
            right = before and {"key": before[0], "sha256": _sha256(texts[before[0]])}
            if said != right:
                problems.append(f"{key}: names {said} as the one before, which is {right}")
            for entry in manifest["objects"]:
                places = list(accumulate(entry["positions"]))
                if len(places) != entry["events"]:
                    problems.append(f"{entry['key']}: {len(places)} positions, "
                                    f"{entry['events']} events")  # fmt: skip
                if not seen.isdisjoint(places):
                    problems.append(f"{entry['key']}: holds log positions that another holds")
                seen.update(places)
    return problems


def _entries(texts: dict[str, bytes], problems: list[str]) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    for name, text in texts.items():
        for entry in json.loads(text)["objects"]:
            if entry["key"] in entries:
                problems.append(f"{entry['key']}: in {name} and in another manifest")
            entries[entry["key"]] = entry
    return entries


def _read_objects(bucket: Path, entries: dict[str, dict[str, Any]], archive: Archive) -> None:
    for path in sorted(bucket.rglob("*")):
        key = path.relative_to(bucket).as_posix()
        if path.is_file() and not {MANIFESTS, DIGESTS} & set(path.parts):
            archive.objects += 1
            if key not in entries:
                archive.problems.append(f"{key}: in no manifest")
            else:
                _read_object(path, key, entries[key], archive)
    for key in entries:
        if not (bucket / key).exists():
            archive.problems.append(f"{key}: named by a manifest but not there")


def _read_object(path: Path, key: str, entry: dict[str, Any], archive: Archive) -> None:
    found = KEY.fullmatch(key)
    if found is None:
        archive.problems.append(f"{key}: not a CloudTrail key")
        return
    decompressor = zlib.decompressobj(31)
    try:
        text = decompressor.decompress(path.read_bytes()) + decompressor.flush()
    except zlib.error as error:
        archive.problems.append(f"{key}: {error}")
        return
    if not decompressor.eof or decompressor.unused_data:
        archive.problems.append(f"{key}: not exactly one gzip member")
    if not (text.startswith(b'{"Records":[') and text.endswith(b"]}")):
        archive.problems.append(f'{key}: not {{"Records":[…]}}')
        return
    if _sha256(text) != entry["sha256"]:
        archive.problems.append(f"{key}: its sha256 is not the one in its manifest")
    lines = split_records(text)
    if len(lines) != entry["events"]:
        archive.problems.append(f"{key}: {len(lines)} records, {entry['events']} in its manifest")
    archive.records += [
        ArchivedRecord(line, found["account"], found["region"], entry["hour"], key)
        for line in lines
    ]


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


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
