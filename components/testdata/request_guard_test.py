"""Tests of components/request_guard.py, run by TestRequestGuardInPython."""

import asyncio
import os
import unittest
from unittest import mock

import request_guard

KEY = "k3y"


def call(path, authorization=None, kind="http", method="POST", root_path="", host=b"vllm:8000"):
    """Sends a request and returns its status; 0 is a closed websocket."""
    sent = []

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            sent.append({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("the guard reads no body")

    scope = {"type": kind, "path": path, "root_path": root_path, "headers": [(b"host", host)]}
    if kind == "http":
        scope["method"] = method
    for value in authorization if isinstance(authorization, list) else [authorization]:
        if value is not None:
            scope["headers"].append((b"authorization", value.encode("latin-1")))
    if kind == "lifespan":
        scope = {"type": kind}
    with mock.patch.dict(os.environ, {"VLLM_API_KEY": KEY}):
        guard = request_guard.RequestGuard(app=app)
    asyncio.run(guard(scope, receive, send))
    if sent[0]["type"].startswith("websocket."):
        return 200 if sent[0]["type"] == "websocket.accept" else 0
    return sent[0]["status"]


class RequestGuardTest(unittest.TestCase):
    def test_open_paths_need_no_key(self):
        for path in ("/health", "/metrics", "/ping"):
            self.assertEqual(call(path, method="GET"), 200, path)

    def test_api_needs_the_key(self):
        for path in ("/v1/models", "/v1/chat/completions", "/v1/responses/abc", "/version"):
            self.assertEqual(call(path), 401, path)
            self.assertEqual(call(path, "Bearer " + KEY), 200, path)
            self.assertEqual(call(path, "bearer " + KEY), 200, path)

    def test_wrong_keys(self):
        for value in ("Bearer", "Bearer ", "Bearer k3", "Bearer k3yy", "Bearer  k3y", "Basic k3y", KEY, "", "Bearer \xe9"):
            self.assertEqual(call("/v1/models", value), 401, value)
        self.assertEqual(call("/v1/models", ["Bearer x", "Bearer " + KEY]), 401, "vLLM reads the first header too")

    def test_closed_paths(self):
        for path in (
            "/", "", "/v1", "/invocations", "/pause", "/resume", "/is_paused", "/update_weights", "/init_weight_transfer_engine",
            "/get_world_size", "/abort_requests", "/scale_elastic_ep", "/tokenize", "/detokenize", "/tokenizer_info", "/pooling",
            "/classify", "/score", "/rerank", "/generative_scoring", "/inference/v1/generate", "/v2/embed", "/load", "/server_info",
            "/collective_rpc", "/sleep", "/wake_up", "/start_profile", "/docs", "/redoc", "/openapi.json", "/V1/models",
            "/healthz", "/health/", "/health/../pause", "/metrics/", "/metricsx", "//invocations", "//v1/models", "/./v1/models", "/v11",
            "v1/models", "http://vllm/v1/models", "*",
        ):
            for authorization in (None, "Bearer " + KEY):
                for method in ("GET", "POST", "OPTIONS"):
                    self.assertEqual(call(path, authorization, method=method), 404, path)

    def test_dots_below_the_api_need_the_key(self):
        # The router does not resolve them, so such a path is no other route.
        self.assertEqual(call("/v1/../pause"), 401)

    def test_host_header_has_no_effect(self):
        self.assertEqual(call("/v1/models", host=b"vllm/health?"), 401)
        self.assertEqual(call("/pause", host=b"vllm/v1/models?"), 404)

    def test_root_path(self):
        self.assertEqual(call("/llm/v1/models", "Bearer " + KEY, root_path="/llm"), 200)
        self.assertEqual(call("/llm/v1/models", root_path="/llm"), 401)
        self.assertEqual(call("/v1/models", root_path="/llm"), 401)
        self.assertEqual(call("/llm/health", root_path="/llm"), 200)
        for path in ("/llm/pause", "/pause", "/llm", "/llmv1/models", "/v1/models"):
            want = 401 if path == "/v1/models" else 404
            self.assertEqual(call(path, root_path="/llm"), want, path)

    def test_preflight_needs_no_key(self):
        self.assertEqual(call("/v1/chat/completions", method="OPTIONS"), 200)

    def test_websockets(self):
        self.assertEqual(call("/v1/realtime", kind="websocket"), 0)
        self.assertEqual(call("/v1/realtime", "Bearer " + KEY, kind="websocket"), 200)
        self.assertEqual(call("/other", "Bearer " + KEY, kind="websocket"), 0)

    def test_lifespan_passes(self):
        self.assertEqual(call("", kind="lifespan"), 200)

    def test_no_key_no_start(self):
        for environment in ({}, {"VLLM_API_KEY": ""}):
            with mock.patch.dict(os.environ, environment, clear=True):
                self.assertRaises(RuntimeError, request_guard.RequestGuard, None)


if __name__ == "__main__":
    unittest.main()
