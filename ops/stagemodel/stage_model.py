"""Copies a model from the Hugging Face hub into a bucket or a folder, once and resumably.

It runs in a Job of `make stage-model`, in the server's image. docs/cold-start.md describes it. Each file is streamed: no file is stored on
the node, and none becomes visible in its place before its size and its checksum are those of the hub. The file vllm-autoscaling.json is
written last: where it is there, the folder is complete.

Client libraries: boto3, google-cloud-storage and google-auth, and azure-storage-blob and azure-identity are in vLLM's image as dependencies
of runai-model-streamer[s3,gcs,azure], which docker/Dockerfile and docker/versions.json of github.com/vllm-project/vllm install
(RUNAI_MODEL_STREAMER_VERSION >=0.15.7) and whose setup.py files name them (github.com/run-ai/runai-model-streamer, py/). The hub is read with
Python's own HTTP client, because huggingface_hub downloads to a disk only: the requests are those of its HfApi.model_info and hf_hub_url.

Exit status: 0 complete, 3 refused for a reason that another attempt does not change, 1 for any other error.
"""

import argparse
import concurrent.futures
import hashlib
import http.client
import io
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import stage_folders
from stage_folders import CHUNK, Denied, Refused, Stopped, Transient, size_text

MARKER = "vllm-autoscaling.json"
# The names of what an unfinished run writes, so that a later run may remove what no longer belongs to the model.
UNFINISHED = ".vllm-autoscaling.unfinished.json"

EXIT_REFUSED = 3
# How long to wait before each repetition of a request that failed for a passing reason, and before each of a whole file.
RETRY_DELAYS = (1, 2, 5, 10, 20, 30)
FILE_RETRY_DELAYS = (5, 30)
# How long to wait for a permission: the clouds need minutes for a grant, and a new pod's credentials may be a few seconds late.
DENIED_DELAYS = (5, 10, 15, 30, 60)
REQUEST_TIMEOUT = 60
# Files at the same time. Each holds a few parts of stage_folders.PART bytes in memory.
WORKERS = 4

# Weights in formats that vLLM reads from neither a bucket nor a folder of safetensors, and what it does not read at all.
SKIPPED_SUFFIXES = (
    ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".gguf", ".ggml", ".tflite", ".mlmodel",
    ".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp4", ".gitattributes", ".gitignore",
)
SKIPPED_FOLDERS = ("onnx/", "openvino/", "coreml/", "original/", "metal/", "gguf/", ".")


class WrongChecksum(Transient):
    """What was read is not what the hub has."""


class File:
    """A file of the model. sha256 is None for one that the hub stores in git, whose blob checksum is git."""

    def __init__(self, name, size, sha256, git):
        self.name, self.size, self.sha256, self.git = name, size, sha256, git


class SameHostRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects. The token goes to the hub's own host only: files are on another one."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl)[:2] == urllib.parse.urlsplit(req.full_url)[:2]:
            for name, value in req.unredirected_hdrs.items():
                new.add_unredirected_header(name, value)
        return new


class Hub:
    """The Hugging Face hub, or a mirror of it."""

    def __init__(self, endpoint, token):
        self.endpoint, self.token = endpoint.rstrip("/"), token
        self.opener = urllib.request.build_opener(SameHostRedirects())

    def info(self, model, revision):
        """Returns what the hub has about a revision of a model, "" for its main branch."""
        path = f"/api/models/{model}/revision/{urllib.parse.quote(revision or 'main', safe='')}?blobs=true"

        def read():
            with self.open(model, revision, path) as response:
                return json.load(response)

        return retried(read)

    def open(self, model, revision, path, headers=None):
        """Sends a request and returns the response."""
        request = urllib.request.Request(self.endpoint + path, headers={"User-Agent": "vllm-autoscaling", **(headers or {})})
        if self.token:
            request.add_unredirected_header("Authorization", "Bearer " + self.token)
        try:
            return self.opener.open(request, timeout=REQUEST_TIMEOUT)
        except urllib.error.HTTPError as error:
            with error:
                raise self.failure(model, revision, error) from None
        except (OSError, ValueError) as error:
            raise Transient(f"{self.endpoint} does not answer: {error}") from None

    def failure(self, model, revision, error):
        """Returns the exception for an answer of the hub that is an error; its codes are those that huggingface_hub reads."""
        code, text = error.headers.get("X-Error-Code", ""), error.headers.get("X-Error-Message", "")
        page = f"{self.endpoint}/{model}"
        if code == "GatedRepo":
            if not self.token:
                return Refused(f"{model} is gated and the server has no Hugging Face token: accept the licence at {page}, then set huggingFaceToken "
                               "(pulumi config set --secret huggingFaceToken) and run pulumi up")
            return Refused(f"{model} is gated and the account of the token has no access: accept the licence at {page} with that account, "
                           "or set a huggingFaceToken of one that has")
        if code == "RevisionNotFound":
            return Refused(f"{model} has no revision {revision or 'main'}: model.revision is a commit, tag or branch of {page}/tree/main")
        if error.code == 401 and self.token and "credentials" in text.lower():
            return Refused(f"{self.endpoint} does not accept the Hugging Face token: set huggingFaceToken to one that is valid and run pulumi up")
        if code == "RepoNotFound" or error.code in (401, 404):
            missing = "the server has no Hugging Face token" if not self.token else "the account of the token has no access"
            return Refused(f"there is no model {model} at {self.endpoint}, or it is private and {missing}: check model.id")
        if error.code == 403:
            return Refused(f"{self.endpoint} refuses {model}: {text or error.reason}: a fine-grained token needs read access to gated repositories")
        if error.code in (408, 429) or error.code >= 500:
            return Transient(f"{self.endpoint} answers {error.code} {text or error.reason}")
        return Refused(f"{self.endpoint} answers {error.code} {text or error.reason} for {model}")

    def content(self, model, commit, name, offset):
        """Returns a response with a file's content from an offset on."""
        path = f"/{model}/resolve/{commit}/{urllib.parse.quote(name)}"
        response = self.open(model, commit, path, {"Range": f"bytes={offset}-"} if offset else None)
        if offset and response.status != 206:
            skip(response, offset)
        return response


def skip(response, count):
    """Reads and drops the first bytes of a response."""
    while count:
        dropped = len(response.read(min(count, CHUNK)))
        if not dropped:
            raise Transient("the hub has closed the connection")
        count -= dropped


def retried(action, delays=None):
    """Returns the result of an action, which is repeated after errors that may pass."""
    for delay in RETRY_DELAYS if delays is None else delays:
        try:
            return action()
        except Transient as error:
            say(f"{error}; trying again in {delay} s")
            time.sleep(delay)
    return action()


def permitted(action):
    """Returns the result of an action, which is repeated while a permission is missing."""
    for delay in DENIED_DELAYS:
        try:
            return action()
        except Denied as error:
            say(f"{error}; trying again in {delay} s, in case that the permission is new")
            time.sleep(delay)
    return action()


class Source(io.RawIOBase):
    """The content of a file of the hub. Reading the last byte fails unless size and checksum are those of the hub."""

    def __init__(self, hub, model, commit, file, progress):
        super().__init__()
        self.hub, self.model, self.commit, self.file, self.progress = hub, model, commit, file, progress
        self.position, self.response = 0, None
        self.sha256 = hashlib.sha256()
        self.git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        if not file.size:
            self.check()

    def readable(self):
        return True

    def seekable(self):
        return False

    def tell(self):
        return self.position

    def read(self, size=-1):
        left = self.file.size - self.position
        wanted = left if size is None or size < 0 else min(size, left)
        content = bytearray()
        while len(content) < wanted:
            content += retried(lambda: self.chunk(min(CHUNK, wanted - len(content))))
        if wanted and self.position == self.file.size:
            self.check()
        return bytes(content)

    def chunk(self, size):
        """Returns at least one byte. After a broken connection it goes on where that had ended."""
        self.progress.check()
        try:
            if self.response is None:
                self.response = self.hub.content(self.model, self.commit, self.file.name, self.position)
            content = self.response.read(size)
            if not content:
                raise Transient(f"the hub has closed the connection after {self.position} of {self.file.size} bytes of {self.file.name}")
        except Transient:
            self.disconnect()
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.disconnect()
            raise Transient(f"{self.file.name}: {error}") from None
        self.position += len(content)
        self.sha256.update(content)
        if self.file.sha256 is None:
            self.git.update(content)
        self.progress.add(len(content))
        return content

    def check(self):
        found, wanted = self.sha256.hexdigest(), self.file.sha256
        if wanted is None:
            found, wanted = self.git.hexdigest(), self.file.git
        if found != wanted:
            raise WrongChecksum(f"{self.file.name}: what was read has the checksum {found}, the hub has {wanted}")

    def disconnect(self):
        if self.response is not None:
            self.response.close()
            self.response = None

    def close(self):
        self.disconnect()
        super().close()


class Progress:
    """What has been copied, printed every few seconds."""

    def __init__(self, files, size, interval):
        self.files, self.size, self.interval = files, size, interval
        self.done_files = self.done = 0
        self.started = time.monotonic()
        self.lock, self.stopped, self.ended = threading.Lock(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def run(self):
        before = 0
        while not self.ended.wait(self.interval):
            with self.lock:
                done, files = self.done, self.done_files
            say(self.text(files, done, max(done - before, 0) / self.interval))
            before = done

    def text(self, files, done, rate):
        line = f"copied {files} of {self.files} files, {size_text(done)} of {size_text(self.size)}, {size_text(rate)}/s"
        average = done / max(time.monotonic() - self.started, 0.001)
        return f"{line}, {duration_text((self.size - done) / average)} left" if average > 0 and done <= self.size else line

    def add(self, count):
        with self.lock:
            self.done += count

    def file_done(self):
        with self.lock:
            self.done_files += 1

    def check(self):
        """Raises Stopped if the copy is to end."""
        if self.stopped.is_set():
            raise Stopped()


def duration_text(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def say(text):
    print(text, flush=True)


def needed(siblings):
    """Returns those of a model's files that vLLM reads."""
    files = []
    for sibling in siblings:
        name = sibling["rfilename"]
        if name.lower().endswith(SKIPPED_SUFFIXES) or name.startswith(SKIPPED_FOLDERS) or name == MARKER:
            continue
        if name.startswith("/") or ".." in name.split("/"):
            raise Refused(f"the model has a file {name!r} outside of its folder")
        lfs = sibling.get("lfs") or {}
        files.append(File(name, lfs.get("size", sibling.get("size", 0)), lfs.get("sha256"), sibling.get("blobId")))
    weights = [f.name for f in files if is_weights(f.name)]
    # Mistral's models have their weights a second time in files of this name, which a reader of the whole folder would load too.
    if any(not name.startswith("consolidated") for name in weights):
        files = [f for f in files if not (is_weights(f.name) and f.name.startswith("consolidated"))]
    return files


def is_weights(name):
    return "/" not in name and name.endswith(".safetensors")


class Stage:
    """The copy of a model into a folder."""

    def __init__(self, hub, folder, model, revision, again=False, interval=10):
        self.hub, self.folder, self.model, self.revision, self.again, self.interval = hub, folder, model, revision, again, interval
        # The sizes of the files in the folder before the copy.
        self.present = {}

    def run(self):
        self.present, marker = permitted(self.folder.sizes), self.read(MARKER)
        if self.complete(marker, self.revision or marker.get("revision")):
            self.say_complete(marker)
            return
        info = self.hub.info(self.model, self.revision)
        commit = info["sha"]
        if self.complete(marker, commit):
            self.say_complete(marker)
            return
        files = needed(info["siblings"])
        if not any(is_weights(f.name) for f in files):
            raise Refused(f"{self.model} has no *.safetensors: vLLM reads only those from a bucket; for other weights set model.source hub")
        total = sum(f.size for f in files)
        say(f"{self.model} at {commit}: {len(files)} files, {size_text(total)}, to {self.folder}")
        own = set(marker.get("files", {})) | set(self.read(UNFINISHED).get("files", []))
        self.refuse_foreign(files, own)
        missing = [f for f in files if not self.matches(f)]
        large = sum(f.size for f in missing if f.sha256)
        if len(missing) < len(files):
            say(f"{len(files) - len(missing)} of {len(files)} files are there already, {size_text(total - sum(f.size for f in missing))}")
        self.folder.require(large)
        self.prepare(files, own)
        checksums = {f.name: f.sha256 for f in files}
        checksums.update(self.copy(commit, missing))
        content = {"model": self.model, "revision": commit, "files": {f.name: {"size": f.size, "sha256": checksums[f.name]} for f in files}}
        self.write(MARKER, content)
        self.folder.delete(UNFINISHED)
        say(f"complete: {self.model} at {commit}, {len(files)} files, {size_text(total)}, in {self.folder}")

    def complete(self, marker, commit):
        """Reports whether the folder has all of a commit. With again, each file is compared in any case."""
        files = marker.get("files", {})
        return (not self.again and bool(files) and marker.get("model") == self.model and marker.get("revision") == commit
                and all(self.present.get(name) == file["size"] for name, file in files.items()))

    def say_complete(self, marker):
        total = sum(file["size"] for file in marker["files"].values())
        say(f"complete already: {self.model} at {marker['revision']}, {len(marker['files'])} files, {size_text(total)}, in {self.folder}")
        if not self.revision:
            say("model.revision is not set: with -again, the folder gets the newest revision")

    def refuse_foreign(self, files, own):
        """Refuses a folder with weights of something else, which a reader of the whole folder would load too."""
        names = {f.name for f in files}
        foreign = sorted(name for name in self.present if is_weights(name) and name not in names and name not in own)
        if foreign:
            raise Refused(f"{self.folder} has {', '.join(foreign[:3])}, which {self.model} does not have and vLLM would load: "
                          "remove it, or set a folder that holds nothing else")

    def matches(self, file):
        """Reports whether a file is in the folder as the hub has it; of a small one, only its copy tells."""
        if file.sha256 is None or self.present.get(file.name) != file.size:
            return False
        found = self.folder.digest(file.name) if self.again else self.folder.checksum(file.name)
        if found != file.sha256:
            say(f"{file.name}: the checksum in {self.folder} is {found or 'not known'}, the hub has {file.sha256}: copying it again")
        return found == file.sha256

    def prepare(self, files, own):
        """Marks the folder as unfinished and removes the files of a revision that was there before."""
        names = {f.name for f in files}
        permitted(lambda: self.write(UNFINISHED, {"files": sorted(names | own)}))
        if MARKER in self.present:
            self.folder.delete(MARKER)
        for name in sorted((own - names) & set(self.present)):
            say(f"removing {name} of another revision")
            self.folder.delete(name)
        self.folder.remove_partial()

    def copy(self, commit, files):
        """Copies files, the largest first, and returns their checksums."""
        with Progress(len(files), sum(f.size for f in files), self.interval) as progress:
            stop_on_signal(progress)
            with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
                copies = {pool.submit(self.copy_file, commit, f, progress): f for f in sorted(files, key=lambda f: -f.size)}
                concurrent.futures.wait(copies, return_when=concurrent.futures.FIRST_EXCEPTION)
                failed = [c.exception() for c in copies if c.done() and c.exception()]
                if failed:
                    progress.stopped.set()
                    raise next((e for e in failed if not isinstance(e, Stopped)), failed[0])
            return {f.name: c.result() for c, f in copies.items()}

    def copy_file(self, commit, file, progress):
        """Copies a file and returns its checksum."""
        def copied():
            progress.check()
            with Source(self.hub, self.model, commit, file, progress) as source:
                try:
                    return self.transfer(file, source)
                except Exception:
                    progress.add(-source.position)
                    raise

        try:
            checksum = retried(copied, FILE_RETRY_DELAYS)
        except WrongChecksum as error:
            raise Refused(f"{error}: the file was not kept; is there a proxy on the way that changes files?") from None
        progress.file_done()
        return checksum

    def transfer(self, file, source):
        if file.sha256:
            self.folder.write(file.name, source, file.size, file.sha256)
            return file.sha256
        content = source.read()
        checksum = hashlib.sha256(content).hexdigest()
        if self.present.get(file.name) != file.size or self.folder.checksum(file.name) != checksum:
            self.folder.write(file.name, io.BytesIO(content), file.size, checksum)
        return checksum

    def read(self, name):
        """Returns the JSON object in a file of the folder, an empty one where there is none."""
        try:
            value = json.loads(self.folder.read(name) or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, name, value):
        content = json.dumps(value, indent=1, sort_keys=True).encode()
        self.folder.write(name, io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())


def stop_on_signal(progress):
    """Ends the copy at SIGTERM, which Python would ignore as the first process of a container."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: progress.stopped.set())


def main(arguments):
    parser = argparse.ArgumentParser(prog="stage-model")
    parser.add_argument("--model", required=True)
    parser.add_argument("--revision", default="")
    parser.add_argument("--target", required=True)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--progress-seconds", type=float, default=10)
    options = parser.parse_args(arguments)
    hub = Hub(os.environ.get("HF_ENDPOINT") or "https://huggingface.co", os.environ.get("HF_TOKEN"))
    try:
        folder = permitted(lambda: stage_folders.open_folder(options.target))
        Stage(hub, folder, options.model, options.revision, options.again, options.progress_seconds).run()
    except Refused as error:
        say(f"error: {error}")
        return EXIT_REFUSED
    except Stopped:
        say("error: the pod was told to end; a further run goes on with the files that are missing")
        return 1
    except Exception as error:
        say(f"error: {error}" if isinstance(error, Transient) else f"error: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
