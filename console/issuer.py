"""Signing in at an OpenID Connect issuer, by Authlib: the code flow with PKCE, state and nonce.

Only the issuer of the settings is spoken to, and what it answers is bounded: in time, in bytes, and in what of it is believed.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from domain.errors import NotAuthenticated, Unavailable
from domain.keys import MAX_LABEL_LENGTH, SCOPES
from store.tables.issuer_users import Person

T = TypeVar("T")

TIMEOUT = 5.0  # seconds of a connect, a read or a write
DEADLINE = 15.0  # seconds of all that one step of signing in asks
MAX_BYTES = (
    256 * 1024
)  # of an answer; a token with two hundred groups, or a set of keys with certificates, has a tenth
# Seconds that the addresses and keys of the issuer are kept. A key that is not among them is looked for at once.
KEPT_FOR = 3600.0
# Seconds after a failure in which the issuer is not asked again: a page that is loaded anew does not wait anew.
REST = 3.0
LEEWAY = 60  # seconds that the clocks may differ
MAX_REASON = 300  # characters of an error in the log
MAX_SUBJECT = 255  # characters, as the standard has it
# Those that a public key verifies: none, and HMAC by what is no secret, are not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# Of the group in the settings that everybody at the issuer is in.
EVERYBODY = "*"

logger = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``groups`` are scopes by group; ``project_ids`` None: every project."""

    issuer: str
    client_id: str
    client_secret: str | None
    name: str
    scopes: str
    groups_claim: str
    groups: Mapping[str, tuple[str, ...]]
    project_ids: tuple[int, ...] | None
    trust_email: bool


class Flow(msgspec.Struct, frozen=True):
    """What the browser keeps while it is at the issuer; ``back`` is the address that it wanted."""

    state: str
    nonce: str
    verifier: str
    back: str


class Metadata(msgspec.Struct, frozen=True):
    """The discovery document, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Arrival(msgspec.Struct, frozen=True):
    """A person, and what the groups of the person open: perhaps nothing."""

    person: Person
    scopes: tuple[str, ...]


class IssuerFailed(Unavailable):
    """The issuer cannot be reached, or answers what makes no sense."""


class TooLong(Exception):
    """An answer has more than ``MAX_BYTES``, or is packed so that it may."""


class Issuer:
    """The issuer as one process knows it."""

    def __init__(self, settings: Settings) -> None:
        # It logs every address that it calls.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self.settings = settings
        self._tls: ssl.SSLContext | None = None
        self._lock = asyncio.Lock()
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._until = 0.0
        self._rests_until = 0.0

    @property
    def name(self) -> str:
        return self.settings.name

    async def start(self, redirect_uri: str, back: str) -> tuple[str, Flow]:
        """The address at the issuer that the browser goes to, and what it is to bring back. Raises IssuerFailed."""
        metadata, _ = await self._known()
        flow = Flow(generate_token(43), generate_token(43), generate_token(64), back)
        async with self._client(metadata, redirect_uri) as client:
            address, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=flow.state,
                code_verifier=flow.verifier,
                nonce=flow.nonce,
            )
        return address, flow

    async def finish(self, redirect_uri: str, flow: Flow, code: str) -> Arrival:
        """Who has come back. Raises IssuerFailed, and NotAuthenticated when the token is not for this browser or service."""
        metadata, keys = await self._known()
        with self._failing():
            async with asyncio.timeout(DEADLINE), self._client(metadata, redirect_uri) as client:
                try:
                    token = await client.fetch_token(
                        metadata.token_endpoint,
                        grant_type="authorization_code",
                        code=code,
                        code_verifier=flow.verifier,
                    )
                except OAuthError as error:
                    raise self._refused(error) from error
            id_token, access_token = str(token["id_token"]), token.get("access_token")
            try:
                claims = decoded(id_token, keys)
            except InvalidKeyIdError:
                # The issuer has changed its keys since they were looked at.
                _, keys = await self._known(anew=True)
                claims = decoded(id_token, keys)
        try:
            CodeIDToken(
                claims.claims,
                claims.header,
                {
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                {
                    "nonce": flow.nonce,
                    "client_id": self.settings.client_id,
                    "access_token": access_token,
                },
            ).validate(leeway=LEEWAY)
            return self._arrival(claims.claims)
        except Exception as error:
            raise self._refused(error) from error

    def _arrival(self, claims: Mapping[str, Any]) -> Arrival:
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and subject.isascii()):
            raise ValueError("the subject is no text of at most 255 ASCII characters")
        settings = self.settings
        email = text_of(claims, "email")
        person = Person(
            issuer=settings.issuer,
            subject=subject,
            email=email or text_of(claims, "preferred_username"),
            is_verified=bool(email) and (settings.trust_email or claims.get("email_verified") is True),
            first_name=text_of(claims, "given_name") or text_of(claims, "name"),
            last_name=text_of(claims, "family_name") if text_of(claims, "given_name") else "",
        )
        groups = {EVERYBODY, *groups_of(claims, settings.groups_claim)}
        granted = {scope for group in groups for scope in settings.groups.get(group, ())}
        return Arrival(person, tuple(scope for scope in SCOPES if scope in granted))

    async def _known(self, *, anew: bool = False) -> tuple[Metadata, KeySet]:
        """The discovery document and the keys, of the last hour unless ``anew``. Raises IssuerFailed."""
        async with self._lock:
            now = monotonic()
            if self._metadata is not None and self._keys is not None and now < self._until and not anew:
                return self._metadata, self._keys
            if now < self._rests_until:
                raise self._failed()
            with self._failing(), self._resting():
                async with asyncio.timeout(DEADLINE), self._client() as client:
                    issuer = self.settings.issuer
                    address = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
                    metadata = await fetched(client, address, Metadata)
                    self._check(metadata)
                    found = await fetched(client, metadata.jwks_uri, dict[str, Any])
                keys = KeySet.import_key_set({"keys": [key for key in found["keys"] if can_verify(key)]})
            self._metadata, self._keys, self._until = metadata, keys, now + KEPT_FOR
            return metadata, keys

    def _check(self, metadata: Metadata) -> None:
        """A document of another issuer, or one that leads from TLS to none, is no document of ours."""
        if metadata.issuer != self.settings.issuer:
            raise ValueError(f"the discovery document is of {metadata.issuer!r}")
        schemes = ("https", urlsplit(self.settings.issuer).scheme)
        for address in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            if urlsplit(address).scheme not in schemes or not urlsplit(address).netloc:
                raise ValueError(f"the discovery document leads to {address!r}")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever an issuer provokes inside, in this code or in a library, is its failure: one sentence, and the reason in the log."""
        try:
            yield
        except (IssuerFailed, NotAuthenticated):
            raise
        except Exception as error:
            logger.warning("signing in at %s failed: %s", self.settings.issuer, reason(error))
            raise self._failed() from error

    @contextmanager
    def _resting(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._rests_until = monotonic() + REST
            raise

    def _refused(self, error: Exception) -> NotAuthenticated:
        logger.warning("a sign-in at %s is refused: %s", self.settings.issuer, reason(error))
        return NotAuthenticated(
            f"What {self.name} says is not for this browser, or no longer valid; sign in again."
        )

    def _failed(self) -> IssuerFailed:
        return IssuerFailed(
            f"{self.name} does not sign anybody in at the moment: it cannot be reached, or does not answer as it should."
        )

    @asynccontextmanager
    async def _client(
        self, metadata: Metadata | None = None, redirect_uri: str | None = None
    ) -> AsyncIterator[Any]:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        settings = self.settings
        method = "none"
        if settings.client_secret is not None:
            known = metadata.token_endpoint_auth_methods_supported if metadata else ()
            method = "client_secret_basic"
            if method not in known and "client_secret_post" in known:
                method = "client_secret_post"
        client = AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            token_endpoint_auth_method=method,
            scope=settings.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=BoundedTransport(verify=self._tls, trust_env=False),
            trust_env=False,
            follow_redirects=False,
            timeout=TIMEOUT,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )
        async with client:
            yield client


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Answers end with an error where they are longer than ``MAX_BYTES``, and are never unpacked."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise TooLong("the answer is packed")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=BoundedStream(response.stream),
            extensions=response.extensions,
        )


class BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise TooLong(f"the answer has more than {MAX_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def fetched(client: Any, address: str, kind: type[T]) -> T:
    answer = await client.request("GET", address, withhold_token=True)
    if answer.status_code != 200:
        raise ValueError(f"{address} answers {answer.status_code}")
    return msgspec.json.decode(answer.content, type=kind)


def can_verify(key: Any) -> bool:
    """Whether a key of the set is for signatures of a known kind; the others are no reason to refuse the set."""
    return isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"


def decoded(token: str, keys: KeySet) -> jwt.Token:
    """A token whose signature is right. Raises joserfc.errors.JoseError; InvalidKeyIdError when its key is not known."""
    return jwt.decode(token, keys, registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False))


def reason(error: Exception) -> str:
    """An error for the log, in one line: its text may be that of others."""
    return f"{type(error).__name__} {str(error)[:MAX_REASON]!r}"


def groups_of(claims: Mapping[str, Any], claim: str) -> list[str]:
    """The texts in a claim, a list or one alone; ``a.b`` is the claim of that name, else ``b`` in ``a``."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for name in claim.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    listed = found if isinstance(found, list) else [found]
    return [group for group in listed if isinstance(group, str) and group != EVERYBODY]


def text_of(claims: Mapping[str, Any], claim: str) -> str:
    """A claim as one line that can be shown, empty when it is missing or no text."""
    value = claims.get(claim)
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value if char.isprintable()).strip()[:MAX_LABEL_LENGTH].strip()
