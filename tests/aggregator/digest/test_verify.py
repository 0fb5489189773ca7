"""`verify` finds every tampering and raises no false alarm."""

import gzip
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opentrail_aggregator.digest.document import string_to_sign
from opentrail_aggregator.digest.names import read_digest_key
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.requests import request_end
from tests.aggregator.digest.rig import (
    ACCOUNT,
    HOUR,
    OTHER_ACCOUNT,
    REGION,
    TRAIL,
    DigestRig,
    busy,
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> DigestRig:
    """Two accounts, two regions, some hours, a stop and a start."""
    rig = DigestRig(tmp_path_factory.mktemp("clean"))
    busy(rig, 4)
    request_end(rig.home, TRAIL, rig.clock.now_ns())
    rig.pass_time(300)
    busy(rig, 3)
    rig.pass_time(HOUR)
    rig.role.close()
    return rig


class Copy:
    """A copy of the clean archive that may be spoiled."""

    def __init__(self, clean: DigestRig, path: Path) -> None:
        shutil.copytree(clean.home.path, path)
        self.rig = DigestRig(path, log=clean.log)
        self.bucket = path / "archive" / "opentrail"
        self.meta = path / "archive-meta" / "opentrail"

    def problems(self) -> list[str]:
        return self.rig.check().problems

    def keys(self, part: str = "") -> list[str]:
        found = (str(each.relative_to(self.bucket)) for each in self.bucket.rglob("*.gz"))
        return sorted(key for key in found if part in key)

    def write(self, key: str, stored: bytes) -> None:
        (self.bucket / key).write_bytes(stored)

    def sign(self, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        """What somebody with the private key, and nothing but the bucket, could do."""
        digest, data = read_digest(self.rig.destination, key)
        document = json.loads(data)
        change(document)
        data = json.dumps(document, separators=(",", ":")).encode()
        self.write(key, gzip.compress(data, mtime=0))
        digest, data = read_digest(self.rig.destination, key)
        parts = read_digest_key(key)
        assert parts is not None
        public = self.rig.keys.public_keys(parts.region)[0]
        signature = self.rig.keys._load(public).sign(string_to_sign(digest, data)).hex()
        path = self.meta / f"{key}.json"
        meta = json.loads(path.read_bytes())
        meta["metadata"]["signature"] = signature
        path.write_bytes(json.dumps(meta).encode())


@pytest.fixture
def copy(clean: DigestRig, tmp_path: Path) -> Copy:
    return Copy(clean, tmp_path / "copy")


def test_a_clean_archive_is_whole(clean: DigestRig) -> None:
    report = clean.check()
    assert report.problems == []
    assert report.chains == 4
    assert report.log_files == len(clean.object_keys())
    assert report.digests > 20
    assert report.manifests == report.log_files


def test_an_archive_with_an_open_window_is_whole_at_any_moment(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.grant_all()
    for _ in range(16):
        rig.send()
        rig.pass_time(900, step=180)
        assert rig.check().problems == []
    assert rig.check().waiting >= 1


def test_the_newest_digest_missing_is_found(copy: Copy) -> None:
    key = copy.keys(f"{ACCOUNT}/CloudTrail-Digest/{REGION}")[-1]
    (copy.bucket / key).unlink()
    assert any(key in each and "newest" in each for each in copy.problems())


def test_a_bucket_put_back_to_an_older_state_is_found(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path / "home")
    busy(rig, 3)
    shutil.copytree(rig.home.archive, tmp_path / "older")
    busy(rig, 1)
    rig.pass_time(HOUR)
    assert rig.check().problems == []
    shutil.rmtree(rig.home.archive)
    shutil.copytree(tmp_path / "older", rig.home.archive)
    problems = rig.check().problems
    assert sum("the newest digest of this chain is missing" in each for each in problems) == 4


def test_a_whole_chain_missing_is_found(copy: Copy) -> None:
    for folder in ("CloudTrail-Digest", "CloudTrail", "OpenTrail-Manifest"):
        shutil.rmtree(copy.bucket / "AWSLogs" / OTHER_ACCOUNT / folder / REGION)
    assert any("newest digest" in each for each in copy.problems())


def test_a_first_run_missing_with_its_files_is_found(copy: Copy) -> None:
    """What ended long ago cannot be missed by a later chain, but HOME remembers it."""
    state = next(
        each for each in copy.rig.digester._folder.read_all() if each.chain[1:] == (ACCOUNT, REGION)
    )
    assert len(state.runs) == 2
    for key in copy.keys(f"{ACCOUNT}/CloudTrail-Digest/{REGION}"):
        if key <= state.runs[0].last:
            (copy.bucket / key).unlink()
    assert any("the starting digest of" in each for each in copy.problems())


def test_a_log_file_that_nobody_lists_is_found(copy: Copy) -> None:
    key = copy.keys(f"{ACCOUNT}/CloudTrail/{REGION}")[0]
    other = key[:-12] + "zzzz.json.gz"
    shutil.copy(copy.bucket / key, copy.bucket / other)
    assert f"{other}: no digest lists this log file" in copy.problems()


def test_a_signed_digest_with_a_bogus_predecessor_is_found(copy: Copy) -> None:
    key = copy.keys(f"{ACCOUNT}/CloudTrail-Digest/{REGION}")[1]
    copy.sign(key, lambda each: each.update(previousDigestHashValue="0" * 64))
    assert any("another checksum" in each for each in copy.problems())


def test_a_signed_digest_with_a_gap_before_it_is_found(copy: Copy) -> None:
    key = copy.keys(f"{ACCOUNT}/CloudTrail-Digest/{REGION}")[1]
    digest, _ = read_digest(copy.rig.destination, key)
    later = digest.digestStartTime[:-3] + "7Z"
    copy.sign(key, lambda each: each.update(digestStartTime=later))
    assert any("its window begins at" in each for each in copy.problems())


def test_junk_behind_the_gzip_member_of_a_digest_is_found(copy: Copy) -> None:
    key = copy.keys("CloudTrail-Digest")[0]
    copy.write(key, (copy.bucket / key).read_bytes() + b"junk")
    assert any(f"{key}: 4 bytes behind" in each for each in copy.problems())


def test_a_digest_signed_with_a_foreign_key_is_found(copy: Copy, tmp_path: Path) -> None:
    key = copy.keys(f"{ACCOUNT}/CloudTrail-Digest/{REGION}")[-1]
    copy.sign(key, lambda each: each.update(digestPublicKeyFingerprint="0" * 32))
    assert any("not ours" in each for each in copy.problems())


def test_what_retention_removed_is_counted_and_no_fault(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path, retention="1d")
    busy(rig, 2)
    rig.pass_time(30 * HOUR, step=1800)
    assert rig.object_keys() == []
    report = rig.check()
    assert report.problems == []
    assert report.removed >= 4
    assert report.log_files == 0


def tamper(copy: Copy, choose: random.Random) -> str:
    """One random change that anybody with the bucket could make; what was done."""
    keys = copy.keys()
    key = choose.choice(keys)
    path, meta = copy.bucket / key, copy.meta / f"{key}.json"
    stored = path.read_bytes()
    is_digest = read_digest_key(key) is not None
    kinds = ["remove", "flip", "cut", "junk", "second member", "other content", "swap", "copy"]
    kind = choose.choice(kinds + ["signature", "no metadata"] * is_digest)
    if kind == "remove":
        path.unlink()
    elif kind == "flip":
        at = choose.randrange(20, len(stored) - 8)
        path.write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
    elif kind == "cut":
        path.write_bytes(stored[: -choose.randrange(1, len(stored))])
    elif kind == "junk":
        path.write_bytes(stored + b"x")
    elif kind == "second member":
        path.write_bytes(stored + gzip.compress(b"{}"))
    elif kind == "other content":
        data = gzip.decompress(stored)
        path.write_bytes(gzip.compress(data.replace(b"2026-", b"2025-", 1)))
    elif kind == "swap":
        other = choose.choice([each for each in keys if each != key])
        path.write_bytes((copy.bucket / other).read_bytes())
    elif kind == "copy":
        path.with_name(path.name.replace("Z_", "Z_x") if not is_digest else f"{path.name}.gz")
        other_day = path.parent.with_name("01" if path.parent.name != "01" else "02")
        other_day.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other_day / path.name)
    elif kind == "signature":
        content = json.loads(meta.read_bytes())
        text = content["metadata"]["signature"]
        content["metadata"]["signature"] = text[:-1] + ("0" if text[-1] != "0" else "1")
        meta.write_bytes(json.dumps(content).encode())
    elif kind == "no metadata":
        meta.unlink()
    return f"{kind}: {key}"


def every_tampering_is_found(clean: DigestRig, path: Path, seed: int, count: int) -> None:
    choose = random.Random(seed)
    for number in range(count):
        copy = Copy(clean, path / str(number))
        done = tamper(copy, choose)
        assert copy.problems(), f"seed {seed}, number {number}: {done} was not found"
        shutil.rmtree(path / str(number))


@pytest.mark.slow
def test_forty_random_tamperings_are_found(clean: DigestRig, tmp_path: Path) -> None:
    every_tampering_is_found(clean, tmp_path, 1, 40)


@pytest.mark.long
def test_two_hundred_random_tamperings_are_found(clean: DigestRig, tmp_path: Path) -> None:
    every_tampering_is_found(clean, tmp_path, random.SystemRandom().randrange(2**32), 200)


@pytest.mark.long
def test_fifty_clean_archives_raise_no_alarm(tmp_path: Path) -> None:
    for seed in range(50):
        choose = random.Random(seed)
        rig = DigestRig(tmp_path / str(seed), interval=choose.choice([900, 1800, 3600]))
        rig.grant_all()
        for _ in range(choose.randrange(3, 12)):
            action = choose.random()
            if action < 0.7:
                rig.send(choose.choice([ACCOUNT, OTHER_ACCOUNT]), REGION)
            elif action < 0.8:
                request_end(rig.home, TRAIL, rig.clock.now_ns())
            elif action < 0.9:
                rig.role.close()
                rig.clock.advance(choose.randrange(7200))
                rig.start()
            rig.pass_time(choose.randrange(60, 7200), step=choose.choice([20, 300]))
        assert rig.check().problems == [], f"seed {seed}"
        rig.role.close()
