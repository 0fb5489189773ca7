"""What the archive promises: each kept event once, byte for byte, in the part of its hour."""

import gzip
import json
import zlib
from pathlib import Path

from tests.aggregator.archive.rig import ACCOUNT, NOON, REGION, Rig, event


def test_a_quiet_hour_is_delivered_byte_for_byte_once_it_settled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    events = [event(n, NOON + n) for n in range(20)]
    rig.log.send(events)
    rig.pass_time(3500)
    assert rig.keys() == []
    rig.pass_time(300)
    (key,) = rig.keys()
    stored = rig.destination.read(key)
    inflate = zlib.decompressobj(31)
    data = inflate.decompress(stored)
    assert inflate.eof
    assert inflate.unused_data == b""
    assert data == b'{"Records":[' + b",".join(each.line for each in events) + b"]}"
    assert len(json.loads(data)["Records"]) == 20
    assert key.startswith(f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/09/21/{ACCOUNT}_CloudTrail_")
    assert gzip.decompress(stored) == data
    rig.assert_sound()


def test_nothing_is_staged_under_a_folder_named_awslogs(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.send([event(n, NOON) for n in range(5)])
    rig.pass_time(60)
    assert rig.reader.figures().pending == 5
    assert not list(tmp_path.rglob("AWSLogs"))
