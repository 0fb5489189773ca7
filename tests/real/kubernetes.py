"""A real Kubernetes API, v1.37, on loopback: etcd, API server, controllers, scheduler, kwok.

Admission (Pod Security too), controllers and scheduling are Kubernetes' own.  **No container
runs**: kwok plays the kubelets, it sets pods that were scheduled to Running and ready.  What runs
inside a pod is tried elsewhere (`tests/charts/test_helm_test.py`, `test_first_start.py`).

`go_tools.sh` builds the programs, once, from the Go module proxy (sixteen CPU-minutes cold).
"""

import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

TOOLS = Path(__file__).with_name("go_tools.sh")
START_SECONDS = 180
ANSWER_SECONDS = 30
_TOKEN = "of-a-test-on-loopback"


class KubernetesError(Exception):
    """The API said no, or nothing."""


class ControlPlane:
    """Start it, ask it, stop it."""

    def __init__(self, folder: Path, programs: dict[str, Path]) -> None:
        """`programs` are the paths that `go_tools.sh control-plane` prints, by their names."""
        self._folder = folder
        self._programs = programs
        self._started: list[subprocess.Popen[bytes]] = []
        self._port = _free_port()
        self._context = ssl.create_default_context()
        self.kubeconfig = folder / "kubeconfig"

    def start(self) -> None:
        """Returns when a namespace has its service account and a node is ready."""
        pki = _make_pki(self._folder)
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        (self._folder / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self._port, pki / "ca.crt")))
        etcd = f"http://127.0.0.1:{_free_port()}"
        peer = f"http://127.0.0.1:{_free_port()}"
        self._run(
            "etcd", f"--data-dir={self._folder}/etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )  # fmt: skip
        self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self._port}",
            f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key",
            f"--client-ca-file={pki}/ca.crt", f"--token-auth-file={self._folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/sa.key",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=Node,RBAC",
            "--allow-privileged=true", "--endpoint-reconciler-type=none",
        )  # fmt: skip
        self._until("the API answers", lambda: self.ask("GET", "/readyz?verbose") is not None)
        own = [f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
               "--bind-address=127.0.0.1", f"--authentication-kubeconfig={self.kubeconfig}",
               f"--authorization-kubeconfig={self.kubeconfig}"]  # fmt: skip
        self._run(
            "kube-controller-manager", *own, f"--secure-port={_free_port()}",
            f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials=true",
        )  # fmt: skip
        self._run("kube-scheduler", *own, f"--secure-port={_free_port()}")
        self._run(
            "kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true",
            f"--server-address=127.0.0.1:{_free_port()}",
            f"--config={self._programs['kwok-stages']}",
        )  # fmt: skip
        for name in ("node-a", "node-b"):
            labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": name[-1]}
            self.create("/api/v1/nodes", "v1", "Node", name, labels=labels)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._until("controllers work", lambda: self.ask("GET", account) is not None)
        self._until("nodes are ready", lambda: all(map(is_ready, self.items("/api/v1/nodes"))))

    def stop(self) -> None:
        """End what was started, the last first; nothing of it is kept."""
        for process in reversed(self._started):
            process.kill()
            process.wait()
        self._started.clear()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer as JSON (or text), None for 404 and while nobody answers."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(
                request, timeout=ANSWER_SECONDS, context=self._context
            ) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            if error.code in (404, 500, 503) and method == "GET":
                return None
            raise KubernetesError(f"{method} {path}: {error.code} {said[:1000]}") from error
        except urllib.error.URLError:
            return None
        return json.loads(text) if text.startswith("{") else text

    def items(self, path: str) -> list[dict[str, Any]]:
        found = self.ask("GET", path)
        listed: list[dict[str, Any]] = found["items"] if found else []
        return listed

    def create(self, path: str, api: str, kind: str, name: str, **more: Any) -> None:
        """`labels` go into the metadata, everything else beside it."""
        metadata = {"name": name, "labels": more.pop("labels", {})}
        made = {"apiVersion": api, "kind": kind, "metadata": metadata, **more}
        if self.ask("POST", path, made) is None:
            raise KubernetesError(f"POST {path}: no answer")

    def namespace(self, name: str, enforce: str) -> None:
        """A namespace under one of the Pod Security Standards."""
        labels = {"pod-security.kubernetes.io/enforce": enforce}
        self.create("/api/v1/namespaces", "v1", "Namespace", name, labels=labels)

    def volume(self, name: str, size: str) -> None:
        """A PersistentVolume for the next claim: there is no provisioner."""
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/nowhere/{name}"},
        }
        self.create("/api/v1/persistentvolumes", "v1", "PersistentVolume", name, spec=spec)

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        return self.items(f"/api/v1/namespaces/{namespace}/pods")

    def events(self, namespace: str) -> str:
        """What Kubernetes says of what happened there."""
        found = self.items(f"/api/v1/namespaces/{namespace}/events")
        return "\n".join(f"{each['reason']}: {each['message']}" for each in found)

    def _run(self, program: str, *arguments: str) -> None:
        with open(self._folder / f"{program}.log", "wb") as log:
            self._started.append(
                subprocess.Popen(
                    [str(self._programs[program]), *arguments],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    cwd=self._folder,
                )
            )  # fmt: skip

    def _until(self, what: str, is_so: Any) -> None:
        until = time.monotonic() + START_SECONDS
        while not is_so():
            for process in self._started:
                if process.poll() is not None:
                    raise KubernetesError(f"{process.args!r} ended: {self._last_lines()}")
            if time.monotonic() > until:
                raise KubernetesError(f"not within {START_SECONDS} s: {what}: {self._last_lines()}")
            time.sleep(0.2)

    def _last_lines(self) -> str:
        found = []
        for path in sorted(self._folder.glob("*.log")):
            found += [path.name, *path.read_text(errors="replace").splitlines()[-8:]]
        return "\n".join(found)


def is_ready(thing: dict[str, Any]) -> bool:
    """Whether a node or a pod says so."""
    conditions = thing.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def programs(names: str) -> dict[str, Path]:
    """The lines of `go_tools.sh`, by the name before the version."""
    found = {}
    for line in names.split():
        path = Path(line)
        found[path.stem.rpartition("-")[0]] = path
    return found


def _kubeconfig(port: int, authority: Path) -> dict[str, Any]:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
    }


def _make_pki(folder: Path) -> Path:
    """An authority, the API server's pair, and the key of service accounts."""
    pki = folder / "pki"
    pki.mkdir()
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: rsa.generate_private_key(65537, 2048) for name in ("ca", "server", "sa")}
    for name, key in keys.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        (pki / f"{name}.key").touch(mode=0o600)
        (pki / f"{name}.key").write_bytes(pem)

    def certificate(name: str, *extensions: x509.ExtensionType) -> None:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test-{name}")]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")]))
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for each in extensions:
            builder = builder.add_extension(each, isinstance(each, x509.BasicConstraints))
        signed = builder.sign(keys["ca"], hashes.SHA256())
        (pki / f"{name}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    certificate("ca", x509.BasicConstraints(ca=True, path_length=0))
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate("server", x509.SubjectAlternativeName(names))
    return pki


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(plane: ControlPlane, folder: Path) -> dict[str, str]:
    """For helm: this cluster, and none of the person's own settings."""
    own = {"KUBECONFIG": str(plane.kubeconfig)}
    for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"):
        own[name] = str(folder / name.lower())
    return {**os.environ, **own}
