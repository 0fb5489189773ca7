"""A new key and a certificate request for it, made in a process of its own.

It needs `cryptography` (the extra `enrol`), which is loaded in that process only and gone with it:
an agent that runs stays as light as one whose certificates come from elsewhere.

    python -m opentrail_agent.enrolment.request NAME    {"key": PEM, "request": PEM} on its output
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from opentrail.errors import OpenTrailError

SECONDS = 60.0
MISSING = (
    "cryptography is not installed here; an agent that gets its certificates by itself needs it: "
    "pip install 'opentrail[enrol]'"
)


class RequestError(OpenTrailError):
    """No key could be made."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """Both PEM; the key is a secret."""

    key: str
    request: str

    def __repr__(self) -> str:
        return "NewKey(…)"


def make_request(name: str) -> NewKey:
    """A new key and the request that proves it."""
    argv = [sys.executable, "-m", __name__, name]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RequestError(f"making a key took longer than {SECONDS:g} s; trying again") from None
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2]
        raise RequestError(said or f"making a key ended with {done.returncode}")
    made = json.loads(done.stdout)
    return NewKey(made["key"], made["request"])


def main(name: str) -> int:
    """What runs in the process of its own."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        return 1
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(key, hashes.SHA256())
    made = {
        "key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "request": signed.public_bytes(serialization.Encoding.PEM).decode(),
    }
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
