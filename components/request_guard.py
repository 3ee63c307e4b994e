"""ASGI middleware that limits what clients reach of a vLLM server that has an API key.

vLLM checks the key only on some paths, so that for example /invocations and /pause are open, and up to version 0.21 a forged Host
header hides the path from that check (CVE-2026-48746). This middleware is the outermost one: it lets only the paths below
pass, and checks the key itself. docs/security.md describes it.
"""

import hashlib
import os
import secrets

# What probes and the scraper request, which send no key.
OPEN_PATHS = frozenset({"/health", "/metrics", "/ping"})
# What clients request, with the key.
KEY_PATHS = frozenset({"/version"})
KEY_PREFIX = "/v1/"


def route_path(scope):
    """Returns the path that the router compares: without the prefix of --root-path, where the request has it."""
    path, root_path = scope["path"], scope.get("root_path", "")
    if root_path and path.startswith(root_path + "/"):
        return path[len(root_path):]
    return path


def digest(key):
    """Returns a value of fixed length, so that the time of a comparison does not depend on the key's length."""
    return hashlib.sha256(key).digest()


class RequestGuard:
    def __init__(self, app):
        key = os.environ.get("VLLM_API_KEY", "")
        if not key:
            raise RuntimeError("VLLM_API_KEY is not set, so there is no key to check requests against")
        self.app = app
        self.key = digest(key.encode())

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            status = self.refusal(scope)
            if status:
                await refuse(scope, send, status)
                return
        await self.app(scope, receive, send)

    def refusal(self, scope):
        """Returns the status to refuse a request with, or None."""
        path = route_path(scope)
        if path in OPEN_PATHS:
            return None
        if path not in KEY_PATHS and not path.startswith(KEY_PREFIX):
            return 404
        # A browser sends no key when it asks whether it may send a request.
        if scope.get("method") == "OPTIONS" or self.has_key(scope):
            return None
        return 401

    def has_key(self, scope):
        """Reports whether the first Authorization header, which vLLM reads too, has the key as bearer token."""
        for name, value in scope["headers"]:
            if name.lower() == b"authorization":
                scheme, _, token = value.partition(b" ")
                return scheme.lower() == b"bearer" and secrets.compare_digest(digest(token), self.key)
        return False


async def refuse(scope, send, status):
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = b'{"error":"Unauthorized"}' if status == 401 else b'{"error":"Not Found"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
