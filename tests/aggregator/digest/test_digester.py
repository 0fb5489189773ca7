"""What is promised of digests: one per window, contiguous, chained, signed, also when empty."""

import base64
import hashlib
import itertools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from opentrail.clock import SystemClock
from opentrail_aggregator.archive.destination import DestinationError, ObjectInfo
from opentrail_aggregator.archive.keys import time_text
from opentrail_aggregator.archive.local_directory import LocalDirectory
from opentrail_aggregator.digest.names import read_digest_key
from opentrail_aggregator.digest.reading import read_digest
from opentrail_aggregator.digest.requests import is_done, request_end, request_now
from tests.aggregator.digest.rig import (
    ACCOUNT,
    HOUR,
    NOON,
    OTHER_ACCOUNT,
    OTHER_REGION,
    REGION,
    TRAIL,
    DigestRig,
    busy,
)


@pytest.fixture
def rig(tmp_path: Path) -> DigestRig:
    return DigestRig(tmp_path)


def test_every_delivered_file_is_in_exactly_one_digest_of_its_account_and_region(
    rig: DigestRig,
) -> None:
    busy(rig, 5)
    rig.pass_time(2 * HOUR)
    for account in (ACCOUNT, OTHER_ACCOUNT):
        for region in (REGION, OTHER_REGION):
            delivered = [
                key for key in rig.object_keys() if f"/{account}/CloudTrail/{region}/" in key
            ]
            assert delivered
            listed = [
                file.s3Object for each in rig.digests(account, region) for file in each.logFiles
            ]
            assert sorted(listed) == delivered


def test_windows_touch_and_a_quiet_hour_has_a_digest_too(rig: DigestRig) -> None:
    rig.send()
    rig.pass_time(HOUR + 1800)
    rig.pass_time(4 * HOUR)
    digests = rig.digests()
    assert len(digests) == 5
    assert digests[0].digestStartTime == time_text(NOON)
    for before, after in itertools.pairwise(digests):
        assert after.digestStartTime == before.digestEndTime
    assert [len(each.logFiles) for each in digests] == [0, 1, 0, 0, 0]
    for after in digests[2:]:
        assert after.newestEventTime is None
        assert after.oldestEventTime is None


def test_the_chain_begins_with_five_nulls_and_names_its_predecessor_ever_after(
    rig: DigestRig,
) -> None:
    rig.send()
    rig.pass_time(5 * HOUR)
    keys, digests = rig.digest_keys(), rig.digests()
    assert digests[0].is_starting
    for i in range(1, len(digests)):
        _, data = read_digest(rig.destination, keys[i - 1])
        info = rig.destination.head(keys[i - 1])
        assert info is not None
        assert digests[i].previousDigestS3Bucket == "opentrail"
        assert digests[i].previousDigestS3Object == keys[i - 1]
        assert digests[i].previousDigestHashValue == hashlib.sha256(data).hexdigest()
        assert digests[i].previousDigestHashAlgorithm == "SHA-256"
        assert digests[i].previousDigestSignature == info.metadata["signature"]


def test_the_signature_is_as_aws_makes_it(rig: DigestRig) -> None:
    rig.send()
    rig.pass_time(4 * HOUR)
    key = rig.digest_keys()[1]
    digest, data = read_digest(rig.destination, key)
    (public,) = rig.keys.public_keys(REGION)
    der = base64.b64decode(public.value)
    assert hashlib.md5(der).hexdigest() == public.fingerprint == digest.digestPublicKeyFingerprint
    loaded = load_der_public_key(der)
    assert isinstance(loaded, rsa.RSAPublicKey)
    assert loaded.key_size == 2048
    assert b"1.2.840.113549" not in der
    assert der[:1] == b"0"
    assert len(der) == 270, "PKCS#1: an SPKI has 294 bytes"
    info = rig.destination.head(key)
    assert info is not None
    assert info.metadata["signature-algorithm"] == "SHA256withRSA"
    text = "\n".join(
        (
            digest.digestEndTime,
            f"opentrail/{key}",
            hashlib.sha256(data).hexdigest(),
            str(digest.previousDigestSignature),
        )
    )
    loaded.verify(
        bytes.fromhex(info.metadata["signature"]),
        text.encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_names_are_those_of_aws(rig: DigestRig) -> None:
    rig.send()
    rig.pass_time(3 * HOUR)
    stamp = time_text(NOON + HOUR).replace("-", "").replace(":", "")
    day = f"{stamp[:4]}/{stamp[4:6]}/{stamp[6:8]}"
    assert rig.digest_keys()[0] == (
        f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{day}/"
        f"{ACCOUNT}_CloudTrail-Digest_{REGION}_default_us-east-1_{stamp}.json.gz"
    )


def test_keys_belong_to_a_region_and_change_after_thirty_days_with_overlap(
    tmp_path: Path,
) -> None:
    rig = DigestRig(tmp_path, interval=86400)
    rig.send()
    rig.send(region=OTHER_REGION)
    rig.pass_time(64 * 86400, step=21600)
    keys = rig.keys.public_keys(REGION)
    assert len(keys) == 3
    assert {key.fingerprint for key in keys}.isdisjoint(
        key.fingerprint for key in rig.keys.public_keys(OTHER_REGION)
    )
    for before, after in itertools.pairwise(keys):
        assert after.valid_from < before.valid_until
    used = {each.digestPublicKeyFingerprint for each in rig.digests()}
    assert used == {key.fingerprint for key in keys}
    for path in (rig.home.keys / "digest").rglob("*.pem"):
        assert path.stat().st_mode & 0o077 == 0
    assert rig.keys.public_keys(REGION, NOON, NOON + 86400) == keys[:1]
    assert rig.check().problems == []


def test_stopping_writes_a_final_digest_and_beginning_again_a_starting_one(
    rig: DigestRig,
) -> None:
    rig.send()
    rig.pass_time(3 * HOUR + 600)
    stopped_at = rig.clock.now_ns()
    request = request_end(rig.home, TRAIL, stopped_at)
    rig.pass_time(60)
    assert is_done(rig.home, request)
    assert rig.digests()[-1].digestEndTime == time_text(stopped_at // 10**9 + 1)
    count = len(rig.digests())
    rig.pass_time(5 * HOUR)
    assert len(rig.digests()) == count, "a chain that ended says nothing"
    rig.send()
    rig.pass_time(3 * HOUR)
    again = rig.digests()[count:]
    assert [each.is_starting for each in again[:2]] == [True, False]
    assert rig.check().problems == []


def test_a_stop_at_the_end_of_a_window_ends_the_chain_without_an_empty_digest(
    rig: DigestRig,
) -> None:
    rig.send()
    rig.pass_time(3 * HOUR)
    rig.pass_time(10, step=1)
    count = len(rig.digests())
    request = request_end(rig.home, TRAIL, (NOON + 3 * HOUR) * 10**9 - 1)
    rig.pass_time(2 * HOUR)
    assert is_done(rig.home, request)
    assert len(rig.digests()) == count
    assert rig.check().problems == []


def test_a_digest_can_be_had_now_with_all_that_is_open(rig: DigestRig) -> None:
    rig.grant_all()
    rig.send()
    rig.send(OTHER_ACCOUNT, OTHER_REGION)
    rig.pass_time(60)
    assert rig.object_keys() == []
    request = request_now(rig.home, rig.clock)
    rig.pass_time(15, step=1)
    assert is_done(rig.home, request)
    assert len(rig.object_keys()) == 2
    for account, region in ((ACCOUNT, REGION), (OTHER_ACCOUNT, OTHER_REGION)):
        (digest,) = rig.digests(account, region)
        assert len(digest.logFiles) == 1
    rig.pass_time(HOUR)
    assert [each.digestEndTime for each in rig.digests()][1] == time_text(NOON + HOUR)
    assert rig.check().problems == []


def test_after_an_outage_every_window_has_its_digest(rig: DigestRig) -> None:
    rig.send()
    rig.pass_time(2 * HOUR + 600)
    rig.role.close()
    before = len(rig.digests())
    rig.clock.advance(7 * HOUR)
    rig.start()
    rig.pass_time(60)
    assert len(rig.digests()) == before + 7
    assert rig.check().problems == []


def test_what_comes_for_a_closed_window_goes_into_a_backfill_digest(rig: DigestRig) -> None:
    rig.send()
    rig.pass_time(3 * HOUR + 60)
    rig.clock.jump(-2 * HOUR)  # An operator sets the clock back.
    rig.send()
    request_now(rig.home, rig.clock)
    rig.pass_time(600)
    backfills = [key for key in rig.digest_keys() if key.endswith("_backfill.json.gz")]
    assert len(backfills) == 1
    digest, _ = read_digest(rig.destination, backfills[0])
    assert digest.is_starting
    assert len(digest.logFiles) == 1
    info = rig.destination.head(backfills[0])
    assert info is not None
    assert info.metadata["backfill-generation-timestamp"].startswith("2026-")
    assert list(rig.inbox.entries) == []
    assert rig.check().problems == []


def test_an_archive_made_again_from_the_log_is_in_no_digest_twice(rig: DigestRig) -> None:
    busy(rig, 3)
    rig.pass_time(HOUR)
    rig.pass_time(60)
    before = {key: rig.destination.read(key) for key in rig.digest_keys()}
    rig.role.close()
    for path in sorted(rig.home.staging.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    rig.start()
    rig.pass_time(30, step=1)
    assert {key: rig.destination.read(key) for key in rig.digest_keys()} == before
    assert list(rig.inbox.entries) == []
    assert rig.check().problems == []


class Failing(LocalDirectory):
    """A destination that refuses digests until it is told otherwise."""

    refuses = True

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        if self.refuses and read_digest_key(key) is not None:
            raise DestinationError("away", f"{key}: the bucket is away")
        return super().put_if_absent(key, staged, info)


def test_a_destination_that_is_away_delays_digests_and_loses_none(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.destination = Failing(rig.home, "opentrail")
    rig.start()
    rig.send()
    rig.pass_time(4 * HOUR)
    assert rig.digests() == []
    assert rig.metrics.value("opentrail_digest_retries_total", reason="away") > 0
    assert [each["key"] for each in rig.metrics.snapshot()["problems"]] == ["digest.destination"]
    rig.destination.refuses = False
    rig.pass_time(60)
    assert len(rig.digests()) == 4
    assert rig.metrics.snapshot()["problems"] == []
    assert rig.check().problems == []


class Slow(LocalDirectory):
    """A destination that takes its time, as a server does."""

    @property
    def blocks(self) -> bool:
        return True

    def put_if_absent(self, key: str, staged: Path, info: ObjectInfo) -> bool:
        SystemClock().pause(0.05)
        return super().put_if_absent(key, staged, info)


def test_a_slow_destination_holds_no_step_up(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path)
    rig.destination = Slow(rig.home, "opentrail")
    rig.start()
    rig.send()
    clock, longest = SystemClock(), 0.0
    for _ in range(4 * 60):
        rig.clock.advance(60)
        for _ in range(30):
            before = clock.monotonic()
            rig.role.step()
            longest = max(longest, clock.monotonic() - before)
        clock.pause(0.001)
    for _ in range(200):
        rig.clock.advance(1)
        rig.role.step()
        clock.pause(0.01)
    rig.role.close()
    assert len(rig.digests()) == 4
    assert rig.check().problems == []
    assert longest < 1.0
