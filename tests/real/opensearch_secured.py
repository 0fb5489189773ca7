"""The configuration of a real OpenSearch with its security plugin: https, users, one narrow role.

FOLDER/config/{ca,node,admin}.pem  *.key      made here, for 127.0.0.1
FOLDER/config/opensearch-security/*.yml       users `admin`; `ot`, who may what the docs say; and
                                              `writer`, who may only make days and write into them
"""

import base64
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.real.opensearch import OpenSearchNode

PASSWORD = "first-pass-word"
# bcrypt of it, with few rounds.
_HASH = "$2y$06$abcdefghijklmnopqrstuuDBBuHylgn/Y83wa..XsEt8V6X.kubhq"
_SETTINGS = """
plugins.security.ssl.transport.pemcert_filepath: node.pem
plugins.security.ssl.transport.pemkey_filepath: node.key
plugins.security.ssl.transport.pemtrustedcas_filepath: ca.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.pemcert_filepath: node.pem
plugins.security.ssl.http.pemkey_filepath: node.key
plugins.security.ssl.http.pemtrustedcas_filepath: ca.pem
plugins.security.allow_default_init_securityindex: true
plugins.security.authcz.admin_dn: ["CN=admin"]
plugins.security.nodes_dn: ["CN=node"]
"""
_WRITER = """\
writer:
  cluster_permissions: ["indices:data/write/bulk", "cluster:monitor/main"]
  index_permissions:
    - index_patterns: ["opentrail-events*"]
      allowed_actions:
        - "indices:admin/create"
        - "indices:data/write/index"
        - "indices:data/write/bulk*"
        - "indices:admin/mapping/put"
"""


def secure(node: OpenSearchNode, home: Path, role: str) -> None:
    """Configure `node`, not started yet; `role` is the YAML of what the user `ot` may do."""
    config = node.folder / "config"
    shutil.copytree(home / "config", config)
    with open(config / "opensearch.yml", "a") as file:
        file.write(_SETTINGS)
    security = config / "opensearch-security"
    shutil.copytree(home / "security-config", security)
    users = "".join(
        f'{name}:\n  hash: "{_HASH}"\n  reserved: false\n{extra}'
        for name, extra in (
            ("ot", ""),
            ("writer", ""),
            ("admin", '  backend_roles: ["admin"]\n'),
        )
    )
    meta = '_meta:\n  type: "%s"\n  config_version: 2\n'
    (security / "internal_users.yml").write_text(meta % "internalusers" + users)
    indented = "".join(f"  {line}\n" for line in role.strip().splitlines())
    (security / "roles.yml").write_text(meta % "roles" + "opentrail:\n" + indented + _WRITER)
    (security / "roles_mapping.yml").write_text(
        meta % "rolesmapping"
        + 'opentrail:\n  users: ["ot"]\nwriter:\n  users: ["writer"]\n'
        + 'all_access:\n  backend_roles: ["admin"]\n'
    )
    _certificates(config)
    node.url = node.url.replace("http:", "https:")
    node.context = ssl.create_default_context(cafile=str(config / "ca.pem"))
    node.authorization = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


def _certificates(config: Path) -> None:
    now = datetime.now(UTC)
    authority, signing = _name("ca"), ec.generate_private_key(ec.SECP256R1())
    for name in ("ca", "node", "admin"):
        key = signing if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(name == "ca", None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                critical=False,
            )
        )
        if name != "ca":
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            host = x509.IPAddress(ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        else:
            builder = builder.add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                critical=True,
            )
        made = builder.sign(signing, hashes.SHA256())
        (config / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (config / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )  # fmt: skip


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
