"""Who may do what: the one place that every request passes before its handler sees it.

A request says who sends it in one of three ways, all with the same access keys:

    AWS SigV4, in the Authorization header or as a presigned query
    Authorization: Basic base64(KEY_ID:SECRET)      only over TLS, or from this machine
    Authorization: Bearer base64(KEY_ID:SECRET)     likewise

Each route names its `Action`; `Access.admit` answers with a `Caller` or raises `Denied`. A handler
takes the caller from its request and never decides for itself. What AWS's own clients ask goes by
`KeyAccess.authenticate` (see `services.py`). An answer never tells whether a key exists: unknown,
disabled and wrong secret read alike and take the same time.
"""

import base64
import binascii
import hmac
import ipaddress
import logging
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from opentrail.clock import Clock
from opentrail.errors import OpenTrailError
from opentrail_aggregator.access.keys import AccessKey, KeyStore
from opentrail_aggregator.access.scope import Action, Scope
from opentrail_aggregator.access.sigv4 import (
    Credential,
    Request,
    SignatureError,
    claimed_credential,
    is_signed,
    verify,
)

_log = logging.getLogger(__name__)
SERVICE = "opentrail"
"""What the paths of this port are signed for; AWS's services have their own."""
NOBODY = "SignatureDoesNotMatch"
_UNKNOWN = (
    "The access key is not known here, is disabled, or another secret was used; "
    "see `opentrail keys list`."
)
_NO_KEY = (
    "This needs an access key: sign the request (AWS SigV4, service opentrail), or send the key as "
    "Basic or Bearer over TLS."
)
_NO_SUCH_SECRET = "no such key, but as long to compare as one"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and how far they may see."""

    name: str
    accounts: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)
    key_id: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(self.accounts, self.regions)


class Denied(Exception):
    """The caller may not do this: 401 for somebody unknown, 403 for somebody known."""

    def __init__(self, message: str, code: str = "AccessDenied", key_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.key_id = key_id
        """Whose key it is, if it was proved."""

    @property
    def status(self) -> int:
        return 403 if self.code == "AccessDenied" else 401


class KeysUnreadableError(OpenTrailError):
    """Nobody can be told from anybody now."""


class Access(Protocol):
    """Decides about one request."""

    async def admit(self, request: web.Request, action: Action, *, whole: bool = False) -> Caller:
        """Who is asking, if they may do `action`; raises Denied.

        `whole`: the answer speaks of every account, so a key for some of them is not enough.
        """
        ...


class KeyAccess:
    """Access by keys, and by nothing else."""

    def __init__(self, keys: KeyStore, clock: Clock, *, open_metrics: bool = False) -> None:
        self._keys = keys
        self._clock = clock
        self._open_metrics = open_metrics

    async def admit(self, request: web.Request, action: Action, *, whole: bool = False) -> Caller:
        if action in ("probe", "enrol") or (action == "observe" and self._open_metrics):
            return Caller("anybody")
        try:
            key, credential = await self.authenticate(request)
        except SignatureError as error:
            text = _NO_KEY if error.code == "MissingAuthenticationToken" else error.message
            raise Denied(text, error.code) from None
        if credential.service != SERVICE:
            raise Denied(
                f"This path is signed for the service '{SERVICE}', not "
                f"'{credential.service[:40]}'.",
                NOBODY,
            )
        if not key.may(action):
            raise Denied(f"{key.id} has the role {key.role}, which may not {action}", key_id=key.id)
        if whole and not key.scope.is_everything:
            raise Denied(
                f"{key.id} is for some accounts and regions, and this speaks of all of them",
                key_id=key.id,
            )
        return Caller(key.note or key.id, key.scope.accounts, key.scope.regions, key.id)

    async def authenticate(self, request: web.Request) -> tuple[AccessKey, Credential]:
        """The active key that sent this request, and what it was signed for.

        Raises SignatureError, with AWS's code. It reads the body, which is part of a signature.
        """
        try:
            credential = await self._credential(request)
            key = self._keys.get(credential.key_id)
        except (OpenTrailError, OSError, ValueError, KeyError) as error:
            _log.error("access keys cannot be read: %s", error)
            raise KeysUnreadableError(
                "access keys cannot be read now; the aggregator's log says more"
            ) from None
        if key is None or key.state != "active":  # Disabled since its secret was looked up.
            raise SignatureError(NOBODY, _UNKNOWN)
        return key, credential

    async def _credential(self, request: web.Request) -> Credential:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() in ("basic", "bearer"):
            return self._by_secret(request, scheme.lower(), rest.strip())
        is_claimed = is_signed(request_of(request, b""))
        body = await request.read() if is_claimed else b""
        now = self._clock.now_ns() / 1_000_000_000
        try:
            return verify(request_of(request, body), self._keys.secret_of, now)
        except SignatureError as error:
            raise _alike(error) from None

    def _by_secret(self, request: web.Request, scheme: str, given: str) -> Credential:
        if not (is_over_tls(request) or is_from_here(request)):
            raise SignatureError(
                "AccessDeniedException",
                f"{scheme.capitalize()} sends the secret itself, so it is taken over TLS only; "
                "sign the request (AWS SigV4), or use https.",
            )
        key_id, _, secret = _decoded(given).partition(":")
        wanted = self._keys.secret_of(key_id)
        is_right = hmac.compare_digest((wanted or _NO_SUCH_SECRET).encode(), secret.encode())
        if wanted is None or not is_right:
            raise SignatureError(NOBODY, _UNKNOWN)
        return Credential(key_id, "", "", SERVICE)


def request_of(request: web.Request, body: bytes) -> Request:
    """What of a request is signed, as it arrived."""
    path, _, query = request.raw_path.partition("?")
    return Request(request.method, path, query, tuple(request.headers.items()), body)


def claimed_key_id(request: web.Request) -> str:
    """The access key id that a request names, empty if none can be read; nothing is believed."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() in ("basic", "bearer"):
            found = _decoded(rest.strip()).partition(":")[0]
        else:
            found = claimed_credential(request_of(request, b"")).key_id
    except SignatureError:
        return ""
    is_plausible = found.isascii() and found.isalnum() and 8 <= len(found) <= 64
    return found if is_plausible else ""


def is_over_tls(request: web.Request) -> bool:
    """Whether nobody on the way could read this request."""
    return request.transport is not None and bool(request.transport.get_extra_info("sslcontext"))


def is_from_here(request: web.Request) -> bool:
    """Whether it came over a loopback address, which is no network."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback


def _decoded(given: str) -> str:
    """KEY_ID:SECRET from its base64; a Bearer token may also be written without."""
    if ":" in given:
        return given
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError):
        raise SignatureError(
            "IncompleteSignature", "Authorization must be base64 of KEY_ID:SECRET."
        ) from None


def _alike(error: SignatureError) -> SignatureError:
    """The same words for an unknown key, a disabled one, and a wrong secret."""
    is_about_key = error.code == "InvalidClientTokenId" or "we calculated" in error.message
    return SignatureError(NOBODY, _UNKNOWN) if is_about_key else error


CALLER = web.RequestKey("caller", Caller)
"""Under this key a request carries who asks."""
