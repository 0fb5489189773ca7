"""One real S3 server, versitygw over folders of its own, started by this process and ended by it.

It checks signatures, checksums, conditions, locks and policies, so what passes here passed a server
and no imitation. It listens on loopback only. `go_tools.sh` builds it, once, from the Go module
proxy. What it does not do: echo encryption headers, lifecycle rules, notifications.
"""

import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

_TOOLS = Path(__file__).with_name("go_tools.sh")
BUILD_SECONDS = 1500
START_SECONDS = 30
ROOT_KEY, ROOT_SECRET, REGION = "OTROOTKEY", "root-secret-of-a-test", "us-east-1"


class MissingServerError(Exception):
    """versitygw is not here and cannot be built; the text says why."""


def program() -> Path:
    """Where versitygw lies; built when it is missing, which takes minutes."""
    said = ""
    # What is there is used without waiting for whoever builds other tools.
    for arguments in (["--cached"], []):
        done = subprocess.run(
            [str(_TOOLS), *arguments, "versitygw"], capture_output=True, text=True,
            timeout=BUILD_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode == 0:
            return Path(done.stdout.strip())
        said = done.stderr.strip()[-2000:]
    raise MissingServerError(f"versitygw, which tests/real/go_tools.sh builds with Go: {said}")


class S3Server:
    """Start it, make clients and users, stop it; buckets survive `stop` and `start`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._program = path
        self._folder = folder
        self._port, self._admin_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        # Neither folder's path may be the beginning of the other's.
        for name in ("objects", "versions", "iam"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        folder = self._folder.absolute()
        with open(folder / "console", "ab") as console:
            self._process = subprocess.Popen(
                [
                    str(self._program), "--port", f"127.0.0.1:{self._port}",
                    "--access", ROOT_KEY, "--secret", ROOT_SECRET, "--region", REGION, "--quiet",
                    "--keep-alive",  # As AWS does.
                    "--iam-dir", str(folder / "iam"),
                    "--admin-port", f"127.0.0.1:{self._admin_port}",
                    "posix", "--versioning-dir", str(folder / "versions"), str(folder / "objects"),
                ],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        said = (folder / "console").read_text(errors="replace")[-2000:]
        self.stop()
        raise AssertionError(f"versitygw did not start within {START_SECONDS} s: {said}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def environment(self, key: str = ROOT_KEY, secret: str = ROOT_SECRET) -> dict[str, str]:
        """What makes the AWS tools, and us, speak to it as that user."""
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, **more: Any) -> Any:
        """A boto3 client of the root account."""
        import boto3
        from botocore.config import Config

        return boto3.Session().client(
            "s3", endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=ROOT_KEY,
            aws_secret_access_key=ROOT_SECRET,
            config=Config(
                s3={"addressing_style": "path"}, signature_version="s3v4",
                retries={"total_max_attempts": 1}, **more,
            ),
        )  # fmt: skip

    def make_bucket(self, *, locks: bool = False) -> str:
        """A bucket of its own; with `locks`, Object Lock can be used in it."""
        name = f"trail-{uuid.uuid4()}"
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=locks)
        return name

    def make_user(self, name: str, secret: str) -> None:
        """A user who may do only what a bucket's policy says."""
        subprocess.run(
            [
                str(self._program), "admin", "--access", ROOT_KEY, "--secret", ROOT_SECRET,
                "--endpoint-url", f"http://127.0.0.1:{self._admin_port}",
                "create-user", "--access", name, "--secret", secret, "--role", "user",
            ],
            check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
