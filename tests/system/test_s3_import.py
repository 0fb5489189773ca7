"""`opentrail import s3://…` from a real S3 server: every form, killed amid it, never doubled."""

import signal
import time
from pathlib import Path

import pytest

from tests.real.versitygw import S3Server

from .oracle import judge
from .processes import Installation, wait_for
from .producer import Producer

pytestmark = pytest.mark.long
FOLDER = "org/AWSLogs/o-a1b2c3d4e5/111122223333"


@pytest.fixture(autouse=True)
def _environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)


def upload(server: S3Server, bucket: str, folder: Path, prefix: str) -> None:
    client = server.client()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder)}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def test_an_import_from_s3_that_is_killed_goes_on_and_doubles_nothing(
    installation: Installation, tmp_path: Path, s3_server: S3Server
) -> None:
    bucket = s3_server.make_bucket()
    producer = Producer(tmp_path / "source", 71)
    folder = tmp_path / "bucket"
    for number in range(60):
        producer.records_file(folder / f"eu-west-1/2026/11/{number % 28 + 1:02}/{number}.gz", 40)
    producer.records_file(folder / "eu-west-1/2026/12/01/large.json.gz", 4_000)
    producer.records_file(folder / "eu-west-1/2026/12/01/pretty.json", 200, pretty=True)
    upload(s3_server, bucket, folder, f"{FOLDER}/CloudTrail")
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key=f"{FOLDER}/CloudTrail-Digest/d.json.gz", Body=b"{}")
    client.put_object(Bucket=bucket, Key=f"{FOLDER}/notes.txt", Body=b"not records")
    installation.start(producer.pattern)
    place = f"s3://{bucket}/org/"
    noted = installation.home / "imports" / "import" / "s3-import.json"
    for pause in (0.4, 0.7, None):
        started = installation.begin("import", place)
        if pause is None:
            wait_for("a part is done and noted", noted.exists, 30, 0.01)
        time.sleep(pause or 0.0)
        started.send_signal(signal.SIGKILL)
        started.wait()
        for process in installation.processes():
            if " opentrail_agent import " in process.command:
                process.kill()
    rest = installation.run("import", place).stdout
    assert not rest.startswith(b"62 files"), "no kill came after a part was done"
    again = installation.run("import", place).stdout
    assert again.startswith(b"62 files")
    assert b"1 digests and manifests left out" in again
    assert b"1 files skipped" in again
    judge(installation, producer, at_least=6_000, repeats=True)


def test_what_is_wrong_is_said_and_the_import_goes_on_when_it_is_right(
    installation: Installation, tmp_path: Path, s3_server: S3Server
) -> None:
    bucket = f"later-{s3_server.make_bucket()[6:]}"
    producer = Producer(tmp_path / "source", 72)
    producer.records_file(tmp_path / "bucket" / "a.json", 50)
    installation.start(producer.pattern)
    failed = installation.run("import", f"s3://{bucket}/", check=False)
    assert failed.returncode == 1
    assert b"there is no such bucket" in failed.stderr
    s3_server.client().create_bucket(Bucket=bucket)
    upload(s3_server, bucket, tmp_path / "bucket", "x")
    endpoint = f"--s3-endpoint={s3_server.endpoint}"
    done = installation.run("import", endpoint, "--s3-path-style", f"s3://{bucket}/x/a.json")
    assert b"1 files" in done.stdout
    judge(installation, producer, at_least=50)
