"""One real OpenSearch node, started by this process and ended by it.

It listens on loopback only, holds its data in a folder of its own, and is told to end by its
process id. It refuses to run as root, so root lends it another id, and the right to read and write
what is root's.
"""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

START_SECONDS = 300
_NOBODY = 65534


class OpenSearchNode:
    """Start it, ask it, stop it; data survives `stop` and `start`."""

    def __init__(self, home: Path, java: Path, folder: Path, heap_mb: int = 512) -> None:
        """`home` is an installation, which is only read; everything written goes to `folder`."""
        self._home = home
        self._java = java
        self.folder = folder
        self._heap_mb = heap_mb
        self._process: subprocess.Popen[bytes] | None = None
        self.context: ssl.SSLContext | None = None
        """How it is asked where it has https; `authorization` goes along."""
        self.authorization = ""
        self.use(_free_port())

    def use(self, port: int) -> None:
        """Ask the node at `port`; without `start` it is one that somebody else runs."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def start(self, **settings: str) -> None:
        """Returns when it answers; further `settings` as opensearch.yml has them."""
        config = self.folder / "config"
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        if not config.exists():
            shutil.copytree(self._home / "config", config)
        prefix = ["nice", "-n", "5"]
        if os.geteuid() == 0:
            prefix += [
                "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
                "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override",
                "--ambient-caps=+dac_override",
            ]  # fmt: skip
        options = {
            "node.name": "n1",
            "http.port": str(self.port),
            "transport.port": str(_free_port()),
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **settings,
        }
        heap = f"{self._heap_mb}m"
        argv = [
            *prefix, str(self._java / "bin" / "java"), f"-Xms{heap}", f"-Xmx{heap}",
            "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4", "-Xshare:auto",
            f"-Djava.io.tmpdir={self.folder}/tmp", f"-Djna.tmpdir={self.folder}/tmp",
            "-Dlog4j2.disable.jmx=true", "-Dlog4j.shutdownHookEnabled=false",
            "-Dfile.encoding=UTF-8", "-Dio.netty.noUnsafe=true",
            "-Dio.netty.noKeySetOptimization=true", "-Dio.netty.allocator.numDirectArenas=0",
            "--enable-native-access=ALL-UNNAMED", f"-Dopensearch.path.home={self._home}",
            f"-Dopensearch.path.conf={config}", "-Dopensearch.distribution.type=tar",
            "-Dopensearch.bundled_jdk=false", "-cp", f"{self._home}/lib/*",
            "org.opensearch.bootstrap.OpenSearch",
        ]  # fmt: skip
        for name, value in options.items():
            argv += ["-E", f"{name}={value}"]
        with open(self.folder / "console", "ab") as console:
            self._process = subprocess.Popen(
                argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                break
            try:
                status, _ = self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")
                if status == 200:
                    return
            except OSError:
                time.sleep(0.3)
        said = (self.folder / "console").read_text(errors="replace")[-4000:]
        self.stop()
        raise AssertionError(f"OpenSearch did not start within {START_SECONDS} s: {said}")

    def ask(
        self, method: str, path: str, body: Any = None, *, timeout: float = 60
    ) -> tuple[int, Any]:
        """Status and decoded answer."""
        connection: http.client.HTTPConnection
        if self.context is not None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=timeout, context=self.context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"}
            if self.authorization:
                headers["Authorization"] = self.authorization
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text.decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def clear(self) -> None:
        """Remove all of OpenTrail's."""
        self.ask("DELETE", "/opentrail-events-*?expand_wildcards=all")
        self.ask("DELETE", "/_index_template/opentrail-events")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would end it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._process = None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
