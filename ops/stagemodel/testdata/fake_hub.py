"""A hub on 127.0.0.1 with the paths, headers and error codes that stage_model.py reads."""

import hashlib
import http.server
import json
import threading
import urllib.parse

COMMIT = "1f1e1d1c" * 5
MODEL = "example/model"


class FakeHub:
    def __init__(self, files):
        # The files that are stored in git; the others are stored with LFS.
        self.files, self.git = dict(files), {"config.json", "tokenizer.json"}
        self.commits = {"main": COMMIT, "v1": COMMIT, COMMIT: COMMIT}
        self.gated = self.needs_token = False
        # corrupt are the files whose content differs from their checksum; broken maps a file to the bytes after which a connection
        # ends, once; failing is a status for so many next requests.
        self.corrupt, self.broken, self.failing = set(), {}, []
        self.requests, self.tokens = [], []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        # The files are on another host, as on the hub.
        self.storage = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def siblings(self):
        for name, content in self.files.items():
            entry = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            if name not in self.git:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            yield entry

    def answer(self, request):
        url = urllib.parse.urlsplit(request.path)
        parts = [urllib.parse.unquote(p) for p in url.path.strip("/").split("/")]
        self.requests.append(url.path)
        token = request.headers.get("Authorization")
        self.tokens.append((parts[0], token))
        if self.failing:
            return self.error(request, self.failing.pop(0), "")
        if parts[:2] == ["api", "models"]:
            if "/".join(parts[2:4]) != MODEL:
                return self.error(request, 401 if token is None else 404, "RepoNotFound")
            commit = self.commits.get(parts[5])
            if commit is None:
                return self.error(request, 404, "RevisionNotFound")
            return self.send(request, 200, json.dumps({"id": MODEL, "sha": commit, "siblings": list(self.siblings())}).encode())
        if parts[0] == "storage":
            return self.content(request, "/".join(parts[1:]))
        if self.gated and (token is None or token != "Bearer allowed"):
            return self.error(request, 401 if token is None else 403, "GatedRepo")
        request.send_response(302)
        request.send_header("Location", f"{self.storage}/storage/{'/'.join(parts[4:])}")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return None

    def content(self, request, name):
        content, offset = self.files[name], 0
        if name in self.corrupt:
            content = bytes([content[0] ^ 1]) + content[1:]
        if value := request.headers.get("Range"):
            offset = int(value.removeprefix("bytes=").removesuffix("-"))
        part = content[offset:]
        request.send_response(206 if offset else 200)
        request.send_header("Content-Length", str(len(part)))
        request.end_headers()
        request.wfile.write(part[:self.broken.pop(name, len(part))])
        request.close_connection = True

    def error(self, request, status, code):
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def send(self, request, status, body):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
