"""`opentrail import` of finished files: every form, interrupted, never doubled."""

import signal
import time
from pathlib import Path

import pytest

from .oracle import judge
from .processes import Installation, wait_for
from .producer import Producer

pytestmark = pytest.mark.slow


def test_files_of_every_form_are_imported_once_however_often(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 21)
    folder = tmp_path / "bucket"
    producer.records_file(folder / "a.json.gz", 500)
    producer.records_file(folder / "deep" / "b.json", 300)
    producer.records_file(folder / "deep" / "pretty.json", 300, pretty=True)
    installation.start(producer.pattern)
    installation.run("import", str(folder))
    installation.run("import", str(folder))
    installation.run("import", str(folder / "a.json.gz"))
    judge(installation, producer, at_least=1000, repeats=True)


def test_an_import_that_is_killed_goes_on_where_it_was(
    installation: Installation, tmp_path: Path
) -> None:
    producer = Producer(tmp_path / "source", 22)
    file = tmp_path / "bucket" / "big.json.gz"
    producer.records_file(file, 8_000)
    installation.start(producer.pattern)
    for pause in (0.4, 0.8, 1.2):
        started = installation.begin("import", str(file))
        time.sleep(pause)
        started.send_signal(signal.SIGKILL)
        started.wait()
    installation.run("import", str(file))
    judge(installation, producer, at_least=8_000, repeats=True)


def test_an_import_with_redact_hides_secrets_everywhere(
    installation: Installation, tmp_path: Path
) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    line = (
        b'{"eventTime":"%b","eventID":"r-1","awsRegion":"eu-west-1",'
        b'"recipientAccountId":"111122223333","eventSource":"iam.amazonaws.com",'
        b'"eventName":"CreateLoginProfile","requestParameters":{"password":"hunter2"}}' % now
    )
    file = tmp_path / "old.json"
    file.write_bytes(b'{"Records":[' + line + b"]}")
    installation.start()
    installation.run("import", "--redact", "on", str(file))
    wait_for("it is found", lambda: installation.lookup("eventID:r-1"), 30)
    hidden = line.replace(b"hunter2", b"HIDDEN_DUE_TO_SECURITY_REASONS")
    assert installation.lookup("eventID:r-1") == [hidden]
    for path in installation.home.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert b"hunter2" not in path.read_bytes(), path
