"""Certificates, keys and authority change every few seconds under load, and nobody notices.

Connections live two seconds here, so each change meets handshakes soon: nothing is lost, nothing is
doubled, and a change costs no batch more than one retry.
"""

import json
import time
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation
from .producer import Load, Producer
from .rotation import Rotation

pytestmark = pytest.mark.long
SECONDS = 60
SHORT_LIVED = {"OPENTRAIL_GRPC_CONNECTION_AGE": "2s", "OPENTRAIL_GRPC_CONNECTION_AGE_GRACE": "1s"}


def figures(installation: Installation) -> dict[str, float]:
    found: dict[str, float] = json.loads(
        (installation.home / "agent" / "status.json").read_bytes()
    )["figures"]
    return found


def test_certificates_keys_and_authority_rotate_under_load_without_a_blip(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 61)
    installation.start(producer.pattern, environment=SHORT_LIVED)
    with Rotation(installation.home / "pki", "local", 2.0) as rotation, Load(producer, 300):
        time.sleep(SECONDS)
    judge(installation, producer, at_least=3000)
    told = figures(installation)
    assert rotation.authorities >= 4, "hardly anything was rotated: vacuous"
    assert told["opentrail_agent_connects_total"] >= 12, "hardly any handshake: vacuous"
    ends = {
        name: value
        for name, value in told.items()
        if name.startswith("opentrail_agent_connect_failures_total")
    }
    closed = sum(value for name, value in ends.items() if "why=closed" in name)
    failed = sum(ends.values()) - closed
    assert failed <= rotation.changes, f"a change cost more than one connection: {ends}"
    sent = told["opentrail_agent_sent_batches_total"]
    resent = told.get("opentrail_agent_resent_batches_total", 0)
    assert resent <= sent - resent, "some batch was sent more than twice"
