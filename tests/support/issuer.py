"""A small OpenID Connect issuer on a port: code flow with PKCE, RSA keys, discovery; and every lie that a test wants of it."""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.support.servers import free_port

CLIENT_ID, CLIENT_SECRET = "skald-console", "a secret of the client"


class Answer(Exception):
    """What a request is answered with, in the middle of its handling."""

    def __init__(self, status: int, body: Any = b"", headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


class Issuer:
    """``person`` are the claims of the next sign-in; ``lies`` are put over what a token says, ``answers`` in place of a path's
    answer. ``asked`` counts requests by path."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.person: dict[str, Any] = {"sub": "1", "email": "ada@example.com", "email_verified": True}
        self.lies: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.algorithm = "RS256"
        self.asked: dict[str, int] = {}
        self.says_issuer = True
        self._codes: dict[str, dict[str, str]] = {}
        self.rotate()

    def rotate(self) -> None:
        """Another key, under another name; the last one is gone."""
        self.key = RSAKey.generate_key(
            2048, parameters={"kid": secrets.token_hex(4), "use": "sig"}, private=True
        )

    def honest(self) -> None:
        self.lies, self.answers, self.algorithm, self.says_issuer = {}, {}, "RS256", True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        self.asked[path] = self.asked.get(path, 0) + 1
        try:
            if path in self.answers:
                raise self.answers[path]
            answer = self.answer(path, scope, dict(parse_qsl(body.decode())))
        except Answer as made:
            answer = made
        headers = {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
            **answer.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    def answer(self, path: str, scope: Any, form: dict[str, str]) -> Answer:
        if path == "/.well-known/openid-configuration":
            return Answer(200, self.document())
        if path == "/jwks":
            return Answer(200, {"keys": [{"kty": "new-kind", "kid": "x"}, self.key.as_dict(private=False)]})
        if path == "/authorize":
            return self.authorize(dict(parse_qsl(scope["query_string"].decode())))
        if path == "/token":
            return self.token(dict(scope["headers"]), form)
        return Answer(404, {})

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "response_types_supported": ["code"],
        }

    def authorize(self, asked: dict[str, str]) -> Answer:
        """Everybody who comes is signed in as ``person`` without a question."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(12)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"], **({"iss": self.url} if self.says_issuer else {})}
        return Answer(302, b"", {"location": f"{asked['redirect_uri']}?{urlencode(back)}"})

    def token(self, headers: dict[bytes, bytes], form: dict[str, str]) -> Answer:
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if headers.get(b"authorization") != f"Basic {basic}".encode():
            return Answer(401, {"error": "invalid_client"})
        # A code counts once.
        asked = self._codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return Answer(400, {"error": "invalid_grant", "error_description": "<b>no such code</b>"})
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.lies,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return Answer(
            200,
            {
                "access_token": "access",
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self.sign(claims),
            },
        )

    def sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.algorithm == "none":
            return f"{_part(header)}.{_part(claims)}."
        if self.algorithm == "HS256":
            # By what is no secret: the public key.
            key = OctKey.import_key(self.key.as_pem(private=False))
            return jwt.encode(header, claims, key, algorithms=["HS256"])
        return jwt.encode(header, claims, self.key)


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    """One in this event loop."""
    issuer = Issuer(free_port())
    port = int(issuer.url.rpartition(":")[2])
    server = uvicorn.Server(
        uvicorn.Config(issuer, host="127.0.0.1", port=port, lifespan="off", log_level="critical", ws="none")
    )
    # Signals are those of pytest.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield issuer
    finally:
        server.should_exit = True
        await task
