"""`opentrail verify` against `aws cloudtrail validate-logs`, over the same archive in a directory.

The archive is made by the archive's own code with a clock that is moved by hand: one account and
region, a digest an hour. Both commands are run from start to end, in turns; the CLI reads through
the HTTP port of a server in a process of its own. Each has to find every file valid: `verify` looks
at the manifests too.

`python -m bench.verify HOME` is the server; it prints its URL.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.aggregator.api.serving import serving
from tests.aggregator.archive.rig import ACCOUNT, NOON, REGION, Event
from tests.aggregator.digest.rig import TRAIL, DigestRig
from tests.system.processes import COMMANDS

from bench.figures import Figure, Scale
from bench.search_corpus import Maker

LEAST = 10
HOURS_A_CUT = 40
"""Files of each delivery: events of so many hours come together."""
EVENTS = 20
"""In each file."""
_VALID = re.compile(r"([0-9]+)/([0-9]+) (digest|log) files? valid")


def run(scale: Scale) -> list[Figure]:
    cuts = max(5, scale.questions // 15)  # 2,600 files at full size.
    with tempfile.TemporaryDirectory(prefix="opentrail-bench-") as directory:
        home = Path(directory) / "home"
        files = archive(home, cuts)
        ours, theirs = [], []
        with _server(home) as url:
            for _ in range(min(scale.runs, 2)):
                theirs.append(_validate_logs(home, url, files))
                ours.append(_verify(home, files))
    ratio = min(theirs) / min(ours)
    print(f"  verify {min(ours):.1f} s, validate-logs {min(theirs):.1f} s", flush=True)
    return [
        Figure(
            f"opentrail verify against aws cloudtrail validate-logs, {files:,} log files",
            f"{ratio:.1f} x as fast", f">= {LEAST} x", ratio >= LEAST,
            f"{min(ours):.1f} s and {min(theirs):.1f} s, from start to end of each command",
        )
    ]  # fmt: skip


def archive(home: Path, cuts: int) -> int:
    """Fill the archive of a home; how many log files are in it, all of them in digests."""
    rig, maker, number = DigestRig(home), Maker(13), 0
    rig.grant_all()
    for _ in range(cuts):
        events = []
        now = rig.clock.now_ns() // 10**9
        for hour in range(HOURS_A_CUT):
            for _ in range(EVENTS):
                number += 1
                second = now - hour * 3600
                events.append(
                    Event(maker.record(second)[0], ACCOUNT, REGION, second, f"id-{number}")
                )
        rig.log.send(events)
        rig.pass_time(3600, step=1200)
    rig.pass_time(2 * 3600, step=1200)
    rig.role.close()
    return len(rig.object_keys())


def _verify(home: Path, files: int) -> float:
    began = time.monotonic()
    done = subprocess.run(
        [str(COMMANDS / "opentrail"), "verify", "--home", str(home), "--output", "json"],
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    took = time.monotonic() - began
    found = json.loads(done.stdout)
    assert found["whole"], found["problems"][:3]
    assert (found["log_files"], found["waiting_for_a_digest"]) == (files, 0), found
    return took


def _validate_logs(home: Path, url: str, files: int) -> float:
    key = json.loads((home / "keys" / "local.json").read_bytes())
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    day = time.strftime("%Y-%m-%d", time.gmtime(NOON - 86400))
    command = [
        sys.executable, "-W", "ignore", "-m", "awscli", "cloudtrail", "validate-logs",
        "--trail-arn", TRAIL, "--account-id", ACCOUNT, "--region", REGION,
        "--start-time", f"{day}T00:00:00Z", "--end-time", "2027-09-20T00:00:00Z",
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    took = time.monotonic() - began
    valid = {kind: found for *found, kind in _VALID.findall(done.stdout.decode())}
    assert valid.get("log") == [str(files)] * 2, (done.stdout[-500:], done.stderr[-500:])
    return took


@contextlib.contextmanager
def _server(home: Path) -> Iterator[str]:
    """The HTTP port over the archive, in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.verify", str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


async def _serve(home: Path) -> None:
    async with serving(home) as (client, _):
        print(str(client._base_url).rstrip("/"), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
