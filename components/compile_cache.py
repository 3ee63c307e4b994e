"""Keeps the compilation caches of a server beyond its pod.

The server compiles into folders of its own pod. Outside of the pod there is one file for each key, the entry: a tar file of these folders,
called KEY-SHA256.tar after the key and after the checksum of its content. An entry is written under another name and then renamed, and never
changed, so that it needs no locks and may be shared by any number of pods.

restore  unpacks the entry of the key before the server starts.
save     waits until the server answers on its health path, and publishes its folders if the key has no entry.

Neither ever fails the pod: without an entry the server compiles, as it does without a cache. Standard library only.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

# What a server of vLLM compiles or tunes when it starts, below its home folder. Weights are not among it.
FOLDERS = (
    ".cache/vllm/torch_compile_cache",  # vLLM's VLLM_CACHE_ROOT: torch.compile, with Triton's kernels of it
    ".cache/vllm/modelinfos",  # what vLLM inspects of a model's class in a process of its own
    ".cache/vllm/deep_gemm",
    ".cache/torchinductor",  # TORCHINDUCTOR_CACHE_DIR
    ".cache/flashinfer",
    ".cache/numba",  # NUMBA_CACHE_DIR
    ".triton/cache",
    ".nv/ComputeCache",
)

ENTRY = re.compile(r"^(?P<key>[0-9a-f]{64})-(?P<sum>[0-9a-f]{64})\.tar$")
UNFINISHED = ".unfinished-"
# Files that only a running compiler needs.
TRANSIENT = re.compile(r"(^tmp\.|\.lock$|\.tmp$)")
CHUNK = 1 << 20
# What is left of a pod that was killed while it wrote.
ABANDONED_SECONDS = 3600


def log(text):
    print("compile cache: " + text, flush=True)


def mebibytes(size):
    return "%.1f MiB" % (size / (1 << 20))


class Invalid(Exception):
    """An entry that must not be used."""


class OutOfTime(Exception):
    """The cache is slower than it is worth."""


class Changed(Exception):
    """The server compiled while its folders were read."""


class Cache:
    """The entries in a folder, of which those of one key are read and written."""

    def __init__(self, folder, key, size):
        self.folder, self.key, self.size = folder, key, size

    def entries(self):
        """Returns (changed, bytes, path, key) of each entry, the newest first."""
        found = []
        with os.scandir(self.folder) as items:
            for item in items:
                match = ENTRY.match(item.name)
                if not match:
                    continue
                try:
                    state = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed by another pod
                    continue
                found.append((state.st_mtime, state.st_size, item.path, match["key"]))
        return sorted(found, reverse=True)

    def entry(self):
        """Returns the path of the key's entry, None without one."""
        return next((path for _, _, path, key in self.entries() if key == self.key), None)

    def make_room(self, need):
        """Removes the entries that were not used for the longest time, so that one more keeps the cache below its size."""
        if need > self.size:
            raise OSError("it has %s, more than the size of the whole cache, %s (vllm.cache.size)" % (mebibytes(need), mebibytes(self.size)))
        self.remove_abandoned()
        entries = self.entries()
        total = sum(size for _, size, _, _ in entries)
        while entries and total + need > self.size:
            _, size, path, key = entries.pop()
            remove(path)
            total -= size
            log("removed the entry %s, which was not used for the longest time, to stay below %s" % (key[:12], mebibytes(self.size)))

    def remove_abandoned(self):
        with os.scandir(self.folder) as items:
            for item in items:
                try:
                    if item.name.startswith(UNFINISHED) and item.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                        remove(item.path)
                except FileNotFoundError:
                    continue

    def publish(self, home, files):
        """Writes the files below the home folder as the entry of the key, and returns its size. Nothing is left of it after an error."""
        need = packed_size(files)
        self.make_room(need)
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise OSError("it has %s, and the volume has only %s left" % (mebibytes(need), mebibytes(free)))
        handle, unfinished = tempfile.mkstemp(prefix=UNFINISHED, dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as raw:
                out = Summed(raw)
                pack(home, files, out)
                raw.flush()
                os.fsync(raw.fileno())
            if look(home) != files:
                raise Changed()
            size = os.path.getsize(unfinished)
            os.chmod(unfinished, 0o644)
            os.rename(unfinished, os.path.join(self.folder, "%s-%s.tar" % (self.key, out.sum.hexdigest())))
        except BaseException:
            remove(unfinished)
            raise
        return size


class Summed:
    """A file that is written, with the checksum of what was."""

    def __init__(self, raw):
        self.raw, self.sum = raw, hashlib.sha256()

    def write(self, content):
        self.sum.update(content)
        return self.raw.write(content)


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def packed_size(files):
    """Returns the size of a tar file, of which each member has a header and is padded; long names have further headers."""
    return 10240 + sum(3 * 512 + 512 + (size + 511) // 512 * 512 for _, size, _ in files.values())


def look(home):
    """Returns (changed, bytes, mode) of each cached file by its path below the home folder."""
    files = {}
    for top in FOLDERS:
        for folder, _, names in os.walk(os.path.join(home, top)):
            for name in names:
                path = os.path.join(folder, name)
                if TRANSIENT.search(name) or os.path.islink(path) or not os.path.isfile(path):
                    continue
                try:
                    state = os.stat(path)
                except FileNotFoundError:
                    continue
                files[os.path.relpath(path, home)] = (state.st_mtime_ns, state.st_size, state.st_mode & 0o777)
    return files


def pack(home, files, out):
    """Writes files below the home folder as a tar stream."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, (changed, size, mode) in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = size, mode, changed // 10**9
            try:
                with open(os.path.join(home, name), "rb") as content:
                    tar.addfile(member, content)
            except OSError:
                if look(home) != files:
                    raise Changed() from None
                raise
            tar.members = []  # The list would grow with each file.


def checked(path, expected):
    """Compares an entry with the checksum in its name."""
    found = hashlib.sha256()
    with open(path, "rb") as content:
        while chunk := content.read(CHUNK):
            found.update(chunk)
    if found.hexdigest() != expected:
        raise Invalid("its content does not have the checksum of its name")


def unpack(path, into):
    """Unpacks an entry into an empty folder. Returns the number of its files and their bytes."""
    count = size = 0
    with tarfile.open(path, mode="r|") as tar:
        for member in tar:
            name = os.path.normpath(member.name)
            if not member.isreg() or not any(name.startswith(top + "/") for top in FOLDERS):
                raise Invalid("%r is not a file of a compilation cache" % member.name)
            target = os.path.join(into, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with tar.extractfile(member) as content, open(target, "xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
            os.chmod(target, member.mode & 0o777)
            os.utime(target, (member.mtime, member.mtime))
            tar.members = []
            count, size = count + 1, size + member.size
    return count, size


def move(staged, home):
    """Moves each cached folder to its place, as a whole."""
    for top in FOLDERS:
        source, target = os.path.join(staged, top), os.path.join(home, top)
        if os.path.isdir(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(source, target)


def restore(cache, home, limit):
    """Unpacks the entry of the key into the home folder; logs in one line what happened."""
    began, path = time.monotonic(), None

    def out_of_time(*_):
        raise OutOfTime("it takes more than %g s" % limit)

    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, limit)
    staged = os.path.join(home, ".restoring")
    slow = "; the server compiles"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        path = cache.entry()
        if path is None:
            log("no entry for %s%s" % (cache.key[:12], slow))
            return
        checked(path, ENTRY.match(os.path.basename(path))["sum"])
        os.makedirs(staged)
        count, size = unpack(path, staged)
        move(staged, home)
        log("restored %d files, %s, in %.1f s (entry %s)" % (count, mebibytes(size), time.monotonic() - began, cache.key[:12]))
        try:
            os.utime(path)  # It was used: others are removed first.
        except OSError:
            pass
    except (Invalid, tarfile.TarError) as error:
        try:
            remove(path)
            log("removed the corrupt entry %s: %s%s" % (cache.key[:12], error, slow))
        except OSError as other:
            log("the entry %s is corrupt (%s) and cannot be removed: %s%s" % (cache.key[:12], error, other, slow))
    except (OSError, OutOfTime) as error:
        log("cannot restore the entry %s: %s%s" % (cache.key[:12], error, slow))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(staged, ignore_errors=True)


def healthy(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


def settled(home, pause):
    """Waits until nothing was compiled for a while, and returns the files."""
    before = look(home)
    while True:
        time.sleep(pause)
        after = look(home)
        if after == before:
            return after
        before = after


def save(cache, home, health, poll, pause):
    """Publishes the home folder's caches once the server is healthy, unless the key has an entry."""
    while not healthy(health):
        time.sleep(poll)
    while True:
        files = settled(home, pause)
        try:
            if cache.entry() is not None:
                log("the entry %s is there" % cache.key[:12])
                return
            if not files:
                log("the server has compiled nothing that could be kept")
                return
            size = cache.publish(home, files)
            log("saved %d files, %s, as the entry %s" % (len(files), mebibytes(size), cache.key[:12]))
            return
        except Changed:
            continue


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", choices=("restore", "save"))
    parser.add_argument("--home", required=True, help="home folder of the server")
    parser.add_argument("--cache", required=True, help="folder of the entries")
    parser.add_argument("--key", required=True, help="key of the entry")
    parser.add_argument("--size", type=int, default=0, help="largest size of the cache in bytes")
    parser.add_argument("--health", default="", help="URL that answers 200 once the server is ready")
    parser.add_argument("--poll", type=float, default=5, help="seconds between two requests of that URL")
    parser.add_argument("--pause", type=float, default=10, help="seconds without a change before the caches are read")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a restore is given up")
    args = parser.parse_args()
    cache = Cache(args.cache, args.key, args.size)
    # The first process of a container has no default handler of this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if args.command == "restore":
            restore(cache, args.home, args.limit)
        else:
            save(cache, args.home, args.health, args.poll, args.pause)
    except Exception as error:  # pylint: disable=broad-except
        log("cannot %s the entry %s: %s" % (args.command, cache.key[:12], error))
    if args.command == "save":
        # A sleep would miss a signal that arrives just before it, and the pod would end only with its grace period.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
