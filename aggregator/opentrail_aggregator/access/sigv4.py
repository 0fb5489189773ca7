"""AWS Signature Version 4, from the server's side: was this request signed with that secret?

Decides without I/O. The rules are AWS's own (SigV4 signing process, "authenticating requests"):
the canonical request is built anew from what arrived, every `x-amz-*` header and the host must
have been signed, the date must lie within five minutes, and the comparison takes the same time
whatever differs. Both forms are read: the Authorization header and the presigned query.

Refused on purpose: `aws-chunked` bodies (nothing here takes uploads) and session tokens (keys here
have none). The error codes are those AWS answers with.
"""

import hashlib
import hmac
import re
import urllib.parse
from calendar import timegm
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_MAX_SECONDS = 300
PRESIGNED_MAX_SECONDS = 7 * 24 * 3600
UNSIGNED = "UNSIGNED-PAYLOAD"

_AMZ_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII)
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SPACES = re.compile(r" +")
_EXPIRES_MAX_DIGITS = 20


class SignatureError(Exception):
    """A request cannot be believed; `code` is AWS's name for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request is signed, as it arrived."""

    method: str
    path: str
    """Percent-encoded, without the query."""
    query: str
    """Percent-encoded, without the question mark."""
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The values of a header joined by commas, empty if it is not there."""
        return ",".join(value for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signed, and for which service and region."""

    key_id: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class _Claim:
    credential: Credential
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    expires_seconds: int | None
    """None for a signature in the header."""


def is_signed(request: Request) -> bool:
    """Whether the request claims a signature at all."""
    return request.header("authorization").startswith(ALGORITHM) or (
        "X-Amz-Algorithm=" in request.query
    )


def claimed_credential(request: Request) -> Credential:
    """Who claims to have signed; nothing is believed yet. Raises SignatureError."""
    return _claim(request).credential


def sign(
    request: Request, key_id: str, secret: str, *, service: str, region: str, amz_date: str
) -> str:
    """The Authorization header of `request`, which must already have Host and X-Amz-Date.

    Every header is signed, and the body; what the command line sends is checked by `verify`.
    """
    names = tuple(sorted({name.lower() for name, _ in request.headers}))
    credential = Credential(key_id, amz_date[:8], region, service)
    claim = _Claim(credential, names, "", amz_date, None)
    signature = _signature(request, claim, hashlib.sha256(request.body).hexdigest(), secret)
    return (
        f"{ALGORITHM} Credential={key_id}/{credential.scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )


def verify(request: Request, secret_of: Callable[[str], str | None], now_s: float) -> Credential:
    """Who signed the request; raises SignatureError if it cannot be believed.

    `secret_of` gives the secret of an access key id, None if there is no such usable key.
    """
    claim = _claim(request)
    signed_at = _seconds(claim.amz_date)
    _check_time(claim, signed_at, now_s)
    _check_headers(request, claim)
    payload_hash = _payload_hash(request, claim)
    secret = secret_of(claim.credential.key_id)
    expected = _signature(request, claim, payload_hash, secret or "no such key")
    if secret is None:
        raise SignatureError(
            "InvalidClientTokenId", "The security token included in the request is invalid."
        )
    if not hmac.compare_digest(expected, claim.signature):
        raise SignatureError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return claim.credential


def _claim(request: Request) -> _Claim:
    authorization = request.header("authorization")
    if authorization:
        return _claim_of_header(request, authorization)
    pairs = urllib.parse.parse_qsl(request.query, keep_blank_values=True)
    fields = dict(pairs)
    if "X-Amz-Algorithm" in fields:
        # The signature is what the signed text leaves out: a second one would be signed by nobody.
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1 and name.startswith("X-Amz-"):
                raise SignatureError("IncompleteSignature", f"the query has '{name}' twice.")
        return _claim_of_query(fields)
    raise SignatureError("MissingAuthenticationToken", "Missing Authentication Token")


def _claim_of_header(request: Request, authorization: str) -> _Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureError("IncompleteSignature", f"Authorization must begin with '{ALGORITHM}'")
    fields = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise SignatureError(
                "IncompleteSignature", f"Authorization header requires '{name}' parameter."
            )
    if request.header("x-amz-security-token"):
        raise SignatureError("InvalidToken", "Access keys here have no session token; unset it.")
    amz_date = request.header("x-amz-date")
    if not amz_date:
        raise SignatureError(
            "IncompleteSignature", "Authorization requires an 'X-Amz-Date' header."
        )
    return _Claim(
        _credential(fields["Credential"], amz_date),
        _header_names(fields["SignedHeaders"]),
        _plain_signature(fields["Signature"]),
        amz_date,
        None,
    )


def _claim_of_query(fields: dict[str, str]) -> _Claim:
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise SignatureError("IncompleteSignature", f"X-Amz-Algorithm must be '{ALGORITHM}'")
    for name in ("Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        if not fields.get(f"X-Amz-{name}"):
            raise SignatureError("IncompleteSignature", f"the query requires 'X-Amz-{name}'.")
    if "X-Amz-Security-Token" in fields:
        raise SignatureError("InvalidToken", "Access keys here have no session token; unset it.")
    expires = fields["X-Amz-Expires"]
    if not expires.isascii() or not expires.isdigit() or len(expires) > _EXPIRES_MAX_DIGITS:
        raise SignatureError("IncompleteSignature", "X-Amz-Expires must be a number of seconds.")
    if not 0 < int(expires) <= PRESIGNED_MAX_SECONDS:
        raise SignatureError(
            "IncompleteSignature", f"X-Amz-Expires must be 1 to {PRESIGNED_MAX_SECONDS} seconds."
        )
    return _Claim(
        _credential(fields["X-Amz-Credential"], fields["X-Amz-Date"]),
        _header_names(fields["X-Amz-SignedHeaders"]),
        _plain_signature(fields["X-Amz-Signature"]),
        fields["X-Amz-Date"],
        int(expires),
    )


def _credential(text: str, amz_date: str) -> Credential:
    parts = text.rsplit("/", 4)
    # What is not plain text names nobody, and could not be written down either.
    is_plain = text.isascii() and text.isprintable()
    if not is_plain or len(parts) != 5 or not all(parts) or parts[4] != "aws4_request":
        raise SignatureError(
            "IncompleteSignature",
            "Credential must be KEY/DATE/REGION/SERVICE/aws4_request.",
        )
    if not amz_date.startswith(parts[1]):
        raise SignatureError(
            "SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD of the date."
        )
    return Credential(*parts[:4])


def _header_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if list(names) != sorted({name.lower() for name in names}):
        raise SignatureError(
            "IncompleteSignature", "SignedHeaders must be lower case, sorted and without repeats."
        )
    return names


def _plain_signature(text: str) -> str:
    if _HEX_SIGNATURE.fullmatch(text) is None:
        raise SignatureError("IncompleteSignature", "Signature must be 64 hexadecimal characters.")
    return text


def _seconds(amz_date: str) -> int:
    match = _AMZ_DATE.fullmatch(amz_date)
    if match is None:
        raise SignatureError(
            "IncompleteSignature", "Date must be in ISO-8601 'basic format': YYYYMMDDTHHMMSSZ."
        )
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return timegm((year, month, day, hour, minute, second))
    except ValueError:
        raise SignatureError("IncompleteSignature", "Date is not a day of the calendar.") from None


def _check_time(claim: _Claim, signed_at: int, now_s: float) -> None:
    if signed_at - now_s > SKEW_MAX_SECONDS:
        raise SignatureError(
            "SignatureDoesNotMatch",
            f"Signature not yet current: {claim.amz_date} is still in the future; "
            "set the clock of the client.",
        )
    allowed = SKEW_MAX_SECONDS if claim.expires_seconds is None else claim.expires_seconds
    if now_s - signed_at > allowed:
        raise SignatureError(
            "RequestExpired" if claim.expires_seconds is not None else "SignatureDoesNotMatch",
            f"Signature expired: {claim.amz_date} is more than {allowed} seconds ago; "
            "set the clock of the client, or sign anew.",
        )


def _check_headers(request: Request, claim: _Claim) -> None:
    present = {name.lower() for name, _ in request.headers}
    missing = [name for name in claim.signed_headers if name not in present]
    if missing:
        raise SignatureError(
            "SignatureDoesNotMatch", f"signed headers that did not arrive: {', '.join(missing)}"
        )
    required = {"host"} | {name for name in present if name.startswith("x-amz-")}
    unsigned = sorted(required - set(claim.signed_headers))
    if unsigned:
        raise SignatureError(
            "SignatureDoesNotMatch",
            f"headers that must be signed and are not: {', '.join(unsigned)}",
        )


def _payload_hash(request: Request, claim: _Claim) -> str:
    stated = request.header("x-amz-content-sha256")
    is_s3 = claim.credential.service == "s3"
    if stated.startswith("STREAMING-"):
        raise SignatureError("NotImplemented", "aws-chunked bodies are not taken here.")
    if is_s3 and (stated == UNSIGNED or (not stated and claim.expires_seconds is not None)):
        return UNSIGNED
    actual = hashlib.sha256(request.body).hexdigest()
    # As bytes: a header may hold what is no ASCII, which strings of this comparison must not.
    if stated and not hmac.compare_digest(_bytes(stated), actual.encode()):
        raise SignatureError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    if is_s3 and not stated:
        raise SignatureError("IncompleteSignature", "S3 requires 'x-amz-content-sha256'.")
    return actual


def _signature(request: Request, claim: _Claim, payload_hash: str, secret: str) -> str:
    canonical = "\n".join(
        (
            request.method.upper(),
            _canonical_path(request.path, claim.credential.service),
            _canonical_query(request.query, presigned=claim.expires_seconds is not None),
            *(f"{name}:{_canonical_value(request, name)}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            payload_hash,
        )
    )
    text = "\n".join(
        (
            ALGORITHM,
            claim.amz_date,
            claim.credential.scope,
            hashlib.sha256(_bytes(canonical)).hexdigest(),
        )
    )
    key = f"AWS4{secret}".encode()
    for part in (
        claim.credential.date,
        claim.credential.region,
        claim.credential.service,
        "aws4_request",
    ):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical_path(path: str, service: str) -> str:
    if service == "s3":
        # S3 signs keys as they are: one encoding, no dots resolved.
        return urllib.parse.quote(urllib.parse.unquote_to_bytes(_bytes(path)), safe="/~")
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment and segment != ".":
            segments.append(segment)
    trailing = "/" if path.endswith("/") and segments else ""
    plain = "/" + "/".join(segments) + trailing
    return urllib.parse.quote(_bytes(plain), safe="/~")


def _canonical_query(query: str, *, presigned: bool) -> str:
    # As they were sent: whoever signs has to send them encoded as they were signed.
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if not (presigned and name == "X-Amz-Signature"):
            pairs.append((name, value))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _canonical_value(request: Request, name: str) -> str:
    values = [value for key, value in request.headers if key.lower() == name]
    return ",".join(_SPACES.sub(" ", value.strip()) for value in values)


def _bytes(text: str) -> bytes:
    """Of a path or header as it came: bytes that are no UTF-8 are kept as surrogates in strings."""
    return text.encode("utf-8", "surrogateescape")
