"""The unmodified AWS CLI (v1, from PyPI) says of our archive what it says of AWS's.

It is pointed at the real HTTP port by AWS_ENDPOINT_URL alone. It counts as passed only if the CLI
names digests, and as many valid log files as were delivered.
"""

import asyncio
import base64
import contextlib
import gzip
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opentrail_aggregator.access.key_file import read_key_file
from opentrail_aggregator.digest.requests import request_end
from tests.aggregator.api.serving import serving
from tests.aggregator.digest.rig import (
    ACCOUNT,
    HOUR,
    OTHER_ACCOUNT,
    OTHER_REGION,
    REGION,
    TRAIL,
    DigestRig,
    busy,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("awscli") is None, reason="awscli is not installed (extra dev)"
    ),
]
CHAINS = [
    (account, region) for account in (ACCOUNT, OTHER_ACCOUNT) for region in (REGION, OTHER_REGION)
]
START = "2026-09-20T00:00:00Z"
_COUNTS = re.compile(r"([0-9]+)/([0-9]+) (digest|log) files? valid")


@dataclass(frozen=True)
class Said:
    """What the CLI printed."""

    code: int
    out: str
    err: str

    @property
    def valid(self) -> dict[str, tuple[int, int]]:
        """Valid and looked at, of `digest` and `log` files."""
        found = _COUNTS.findall(self.out)
        return {kind: (int(valid), int(all_)) for valid, all_, kind in found}


class Cli:
    """`aws` against one home."""

    def __init__(self, url: str, home: Path) -> None:
        key = read_key_file(home / "keys" / "local.json")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),  # No configuration of whoever runs this.
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    async def __call__(self, *arguments: str) -> Said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "awscli", *arguments,
            env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())

    async def validate(self, account: str, region: str, *more: str, end: str = "") -> Said:
        return await self(
            "cloudtrail", "validate-logs", "--trail-arn", TRAIL, "--start-time", START,
            "--end-time", end or "2027-09-20T00:00:00Z", "--account-id", account,
            "--region", region, "--verbose", *more,
        )  # fmt: skip


@contextlib.asynccontextmanager
async def cli_of(home: Path) -> AsyncIterator[Cli]:
    async with serving(home) as (client, _):
        yield Cli(str(client._base_url), home)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> DigestRig:
    """Two accounts and regions, quiet hours, a stop and a start, a backfill digest."""
    rig = DigestRig(tmp_path_factory.mktemp("archive"))
    busy(rig, 4)
    request_end(rig.home, TRAIL, rig.clock.now_ns())
    rig.pass_time(HOUR)
    busy(rig, 2)
    rig.pass_time(HOUR)
    rig.pass_time(60)
    rig.role.close()
    assert rig.check().problems == []
    return rig


@pytest.fixture
def copy(archive: DigestRig, tmp_path: Path) -> DigestRig:
    shutil.copytree(archive.home.path, tmp_path / "home")
    return DigestRig(tmp_path / "home", log=archive.log)


async def test_every_account_and_region_validates_with_all_its_files(archive: DigestRig) -> None:
    async with cli_of(archive.home.path) as aws:
        answers = await asyncio.gather(*(aws.validate(*chain) for chain in CHAINS))
    for (account, region), said in zip(CHAINS, answers, strict=True):
        digests = len(archive.digest_keys(account, region))
        files = [key for key in archive.object_keys() if f"/{account}/CloudTrail/{region}/" in key]
        assert said.code == 0, said
        assert said.valid == {"digest": (digests, digests), "log": (len(files), len(files))}
        assert files
        assert digests > 5
        assert "INVALID" not in said.err


@pytest.mark.long
async def test_a_changed_key_of_the_region_and_a_backfill_digest_validate(tmp_path: Path) -> None:
    rig = DigestRig(tmp_path, interval=86400)
    rig.send()
    rig.pass_time(32 * 86400, step=43200)
    rig.clock.jump(-3 * 86400)
    rig.send()
    rig.pass_time(2 * HOUR, step=300)
    rig.role.close()
    assert len(rig.keys.public_keys(REGION)) == 2
    assert any("backfill" in key for key in rig.digest_keys())
    async with cli_of(tmp_path) as aws:
        said = await aws.validate(ACCOUNT, REGION)
    assert said.code == 0, said
    assert said.valid["log"] == (2, 2)
    assert "(backfill) Digest file" in said.out


@pytest.mark.long
async def test_a_prefix_is_found_through_describe_trails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = DigestRig(tmp_path, prefix="audit/prod")
    rig.send()
    rig.pass_time(3 * HOUR, step=300)
    rig.role.close()
    monkeypatch.setenv("OPENTRAIL_ARCHIVE_PREFIX", "audit/prod")
    async with cli_of(tmp_path) as aws:
        said = await aws.validate(ACCOUNT, REGION)
    assert said.code == 0, said
    assert said.valid["log"] == (1, 1)


class Tampering:
    """Changes to one chain, each of which the CLI has a message for."""

    def __init__(self, rig: DigestRig, account: str, region: str) -> None:
        self.rig, self.region = rig, region
        bucket = rig.home.archive / "opentrail"
        part = f"/{account}/CloudTrail/{region}/"
        self.logs = [bucket / key for key in rig.object_keys() if part in key]
        self.digests = [bucket / key for key in rig.digest_keys(account, region)]

    def spoil_logs(self) -> dict[Path, str]:
        changed, broken, gone, longer = self.logs[:4]
        changed.write_bytes(gzip.compress(gzip.decompress(changed.read_bytes()) + b" "))
        broken.write_bytes(b"no gzip")
        gone.unlink()
        longer.write_bytes(longer.read_bytes() + gzip.compress(b'{"Records":[]}'))
        return {
            changed: "INVALID: hash value doesn't match",
            broken: "INVALID: invalid format",
            gone: "INVALID: not found",
            longer: "INVALID: unexpected data after end of compressed stream",
        }

    def spoil_digests(self) -> dict[Path, str]:
        changed, broken, bare, moved, strange = self.digests[1:6]
        gone = self.digests[-2]  # Between two that are whole, or only its absence could be told.
        self._rewrite(changed, logFiles=[])
        broken.write_bytes(b"no gzip")
        gone.unlink()
        moved.write_bytes(self.digests[0].read_bytes())
        meta = self.rig.home.archive_meta / f"{bare.relative_to(self.rig.home.archive)}.json"
        content = json.loads(meta.read_bytes())
        del content["metadata"]["signature"]
        meta.write_bytes(json.dumps(content).encode())
        self._rewrite(strange, digestPublicKeyFingerprint="0" * 32)
        return {
            changed: "INVALID: signature verification failed",
            broken: "INVALID: invalid format",
            gone: "INVALID: not found",
            moved: "INVALID: has been moved from its original location",
            bare: "INVALID: signature verification failed",
            strange: "INVALID: public key not found in region us-east-1 for fingerprint 0000",
        }

    def spoil_keys(self) -> dict[Path, str]:
        """A public key as SPKI: what everybody else would take it for."""
        head = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00")
        for path in (self.rig.home.keys / "digest" / self.region).glob("*.json"):
            key = json.loads(path.read_bytes())
            key["value"] = base64.b64encode(head + base64.b64decode(key["value"])).decode()
            path.write_bytes(json.dumps(key).encode())
        return {self.digests[-1]: "INVALID: Unable to load PKCS #1 key with fingerprint"}

    @staticmethod
    def _rewrite(path: Path, **changes: object) -> None:
        digest = json.loads(gzip.decompress(path.read_bytes()))
        path.write_bytes(gzip.compress(json.dumps({**digest, **changes}).encode()))


async def test_each_tampering_has_the_message_of_aws_and_verify_finds_it_too(
    copy: DigestRig,
) -> None:
    chains = [(ACCOUNT, REGION), (OTHER_ACCOUNT, REGION), (ACCOUNT, OTHER_REGION)]
    logs, digests, keys = (Tampering(copy, *chain) for chain in chains)
    found = [logs.spoil_logs(), digests.spoil_digests()]
    problems = copy.check().problems
    for path in [each for messages in found for each in messages]:
        key = str(path.relative_to(copy.home.archive / "opentrail"))
        assert any(key in each for each in problems), f"verify does not name {key}"
    found.append(keys.spoil_keys())
    async with cli_of(copy.home.path) as aws:
        answers = await asyncio.gather(*(aws.validate(*chain) for chain in chains))
    for messages, said in zip(found, answers, strict=True):
        assert said.code == 1
        for path, message in messages.items():
            name = str(path.relative_to(copy.home.archive))
            lines = [line for line in said.err.splitlines() if name in line]
            assert any(message in line for line in lines), (name, message, said)


@pytest.mark.long
async def test_without_a_public_key_nothing_is_validated(copy: DigestRig) -> None:
    shutil.rmtree(copy.home.keys / "digest")
    async with cli_of(copy.home.path) as aws:
        said = await aws.validate(ACCOUNT, REGION)
    assert said.code == 255
    assert "No public keys found" in said.err


@pytest.mark.long
async def test_the_newest_digests_missing_only_verify_finds(copy: DigestRig) -> None:
    Tampering(copy, ACCOUNT, REGION).digests[-1].unlink()
    async with cli_of(copy.home.path) as aws:
        said = await aws.validate(ACCOUNT, REGION)
    assert said.code == 0
    assert any("newest digest" in each for each in copy.check().problems)


async def test_aws_s3_lists_and_syncs(archive: DigestRig, tmp_path: Path) -> None:
    async with cli_of(archive.home.path) as aws:
        folders, synced = await asyncio.gather(
            aws("s3", "ls", "s3://opentrail/AWSLogs/"),
            aws("s3", "sync", "s3://opentrail", str(tmp_path / "copy"), "--quiet"),
        )
    assert folders.out.split() == ["PRE", f"{ACCOUNT}/", "PRE", f"{OTHER_ACCOUNT}/"]
    assert synced.code == 0, synced
    bucket = archive.home.archive / "opentrail"
    for path in bucket.rglob("*.gz"):
        assert (tmp_path / "copy" / path.relative_to(bucket)).read_bytes() == path.read_bytes()


@pytest.mark.long
async def test_aws_s3_copies_and_cannot_write(archive: DigestRig, tmp_path: Path) -> None:
    key = archive.object_keys()[0]
    (tmp_path / "x").write_bytes(b"x" * 9_000_000)
    async with cli_of(archive.home.path) as aws:
        buckets = await aws("s3", "ls")
        first = await aws("s3", "sync", "s3://opentrail", str(tmp_path / "copy"), "--quiet")
        again = await aws("s3", "sync", "s3://opentrail", str(tmp_path / "copy"))
        copied = await aws("s3", "cp", f"s3://opentrail/{key}", str(tmp_path / "one.gz"))
        written = await aws("s3", "cp", str(tmp_path / "x"), "s3://opentrail/x")
        removed = await aws("s3", "rm", f"s3://opentrail/{key}")
    assert buckets.out.split()[-1] == "opentrail"
    assert (first.code, again.code, copied.code) == (0, 0, 0), (first, again, copied)
    assert again.out == "", "what is there is not copied again"
    assert (tmp_path / "one.gz").read_bytes() == (
        archive.home.archive / "opentrail" / key
    ).read_bytes()
    for refused in (written, removed):
        assert refused.code == 1
        assert "AccessDenied" in refused.err
