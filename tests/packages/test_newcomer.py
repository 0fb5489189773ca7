"""From an empty host to events that are found, by the three commands of docs/operating.md.

They are read off the page and typed as they stand there, on a host of its own: another name, its
own network, /etc, /var/lib and /var/log. The aggregator is there already, as the page says.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages.test_distribution import environment, pip
from tests.system.tools import need, need_private_mounts

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "operating.md"

pytestmark = [pytest.mark.slow, pytest.mark.long]

SCRIPT = r"""
set -euo pipefail
mount --make-rprivate /
for each in etc var/lib var/log; do mount --bind "$HOST/$each" "/$each"; done
hostname web-1
ip link set lo up
cd "$HOST/root"
opentrail-aggregator ca init --home "$HOST/home" --host aggregator.example > /dev/null
opentrail-aggregator run --config "$HOST/aggregator.yaml" > "$HOST/aggregator.log" 2>&1 &
AGGREGATOR=$!
opentrail-aggregator tokens create web-1 --account 111122223333 --home "$HOST/home" > token
for _ in $(seq 300); do
  curl --silent --insecure https://aggregator.example:8470/health/ready | grep -q '^ready' && break
  sleep 0.2
done
PERSON=$PATH
export PATH=$HOST/venv/bin:/usr/bin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=$HOST/wheels
FIRST
SECOND
THIRD > "$HOST/agent.log" 2>&1 &
AGENT=$!
export PATH=$PERSON
for _ in $(seq 300); do
  opentrail lookup --home "$HOST/home" eventName:NewcomerWasHere \
    --output jsonl > "$HOST/found" || true
  [ -s "$HOST/found" ] && break
  sleep 0.2
done
kill $AGENT $AGGREGATOR
wait || true
cat "$HOST/found"
"""

EVENT = (
    '{"eventVersion":"1.08","eventTime":"2026-11-24T10:00:00Z","eventSource":"ec2.amazonaws.com",'
    '"eventName":"NewcomerWasHere","awsRegion":"eu-west-1","recipientAccountId":"111122223333",'
    '"eventID":"6a1f0d8e-0000-4000-8000-000000000001"}'
)


def commands() -> list[str]:
    """What the page tells a newcomer to type."""
    block = re.search(r"<!-- newcomer -->\n```console\n(.*?)```", PAGE.read_text(), re.S)
    assert block
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


def test_a_newcomer_needs_three_commands(tmp_path: Path) -> None:
    need_private_mounts()
    for tool in ("unshare", "ip", "curl", "hostname"):
        need(tool)
    typed = commands()
    assert len(typed) == 3
    wheels = tmp_path / "wheels"
    made = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    constraint = ["--constraint", str(ROOT / "constraints.txt"), "--wheel-dir", str(wheels)]
    subprocess.run([*made, *constraint, f"{ROOT}[enrol]"], check=True, timeout=300)
    pip(environment(tmp_path / "venv"), "--version")
    for folder in ("root", "var/lib", "var/log/trail"):
        (tmp_path / folder).mkdir(parents=True)
    subprocess.run(["cp", "-a", "/etc", str(tmp_path / "etc")], check=True)
    with open(tmp_path / "etc" / "hosts", "a") as hosts:
        hosts.write("127.0.0.1 aggregator.example web-1\n")
    (tmp_path / "var/log/trail/a.json").write_text(EVENT + "\n")
    pki = tmp_path / "home" / "pki"
    (tmp_path / "aggregator.yaml").write_text(
        f"home: {tmp_path / 'home'}\ngrpc: {{listen: '0.0.0.0:8471'}}\n"
        "http:\n  listen: 0.0.0.0:8470\n"
        f"  tls: {{certificate: {pki / 'server.crt'}, key: {pki / 'server.key'}}}\n"
    )
    script = SCRIPT
    for name, command in zip(("FIRST", "SECOND", "THIRD"), typed, strict=True):
        script = script.replace(name, command, 1)
    environ = {
        "HOST": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "root"),
    }  # fmt: skip
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "bash", "-c",
         script],
        env=environ, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    logs = [path.read_text()[-1500:] for path in tmp_path.glob("*.log")]
    assert "NewcomerWasHere" in done.stdout, "\n".join([done.stdout, done.stderr, *logs])
    assert EVENT in done.stdout, "byte for byte"
