#!/usr/bin/env python3
"""Measures the start of Longshore over an empty store and over one of 100,000 blobs. Standard library only.

    start.py BINARY FOLDER

Of several starts the best one counts: what else runs on the machine only adds to it. Ends with 1 where a figure is worse
than its bound.
"""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

BLOBS = 100_000
# An image is a manifest, a configuration and eight layers.
EACH = 10
STARTS = 5


def fill(root):
    """Makes a store that nothing is known of but its files."""
    for number in range(256):
        os.makedirs(f"{root}/blobs/sha256/{number:02x}")

    def put(content):
        name = hashlib.sha256(content).hexdigest()
        with open(f"{root}/blobs/sha256/{name[:2]}/{name}", "wb") as file:
            file.write(content)
        return "sha256:" + name

    def descriptor(kind, content):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": put(content), "size": len(content)}

    for image in range(0, BLOBS, EACH):
        layers = [descriptor("layer.v1.tar", b"%d" % (image + at)) for at in range(EACH - 2)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", b"config %d" % image),
            "layers": layers,
        }
        put(json.dumps(manifest).encode())


class Proxy:
    def __init__(self, binary, root):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--store", f"file://{root}"]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until(lambda: self.ask("/v2/"))
        self.first_answer = time.monotonic() - self.begun

    def until(self, done):
        while time.monotonic() < self.begun + 60:
            try:
                if done():
                    return
            except OSError:
                pass
            time.sleep(0.0005)
        self.process.kill()
        sys.exit("it did not start within a minute")

    def ask(self, path):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := connection.recv(1 << 16):
                answer += more
            return answer.decode()

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)", self.ask("/metrics"), re.M)[1])

    def complete(self):
        """Waits until the files were counted. Returns how long that took from the start."""
        self.until(lambda: self.metric("longshore_store_capacity_bytes") > 0)
        return time.monotonic() - self.begun

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return 1024 * int(re.search(r"^RssAnon:\s*(\d+)", status.read(), re.M)[1])

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait()


def main():
    binary, root = sys.argv[1:]
    empty, memory = [], []
    for at in range(STARTS):
        proxy = Proxy(binary, f"{root}/empty")
        empty.append(proxy.first_answer)
        proxy.complete()
        memory.append(proxy.memory())
        proxy.stop(signal.SIGKILL)
    fill(f"{root}/full")
    proxy = Proxy(binary, f"{root}/full")
    first = proxy.complete()
    objects = proxy.metric("longshore_store_objects")
    # It writes down what it knows.
    proxy.stop(signal.SIGTERM)
    answers, complete, each = [], [], []
    for at in range(STARTS):
        proxy = Proxy(binary, f"{root}/full")
        answers.append(proxy.first_answer)
        complete.append(proxy.complete())
        each.append((proxy.memory() - min(memory)) / BLOBS)
        proxy.stop(signal.SIGKILL)
    print(f"without a snapshot all of {objects:.0f} blobs were known after {first:.2f} s")
    failed = objects < BLOBS
    for what, values, bound, unit in [
        ("empty store, first answer", [1000 * value for value in empty], 20, "ms"),
        ("100,000 blobs, first answer", [1000 * value for value in answers], 50, "ms"),
        ("100,000 blobs, index complete", [1000 * value for value in complete], 2000, "ms"),
        ("100,000 blobs, memory of each", each, 200, "bytes"),
    ]:
        good = min(values) <= bound
        failed = failed or not good
        print(f"{'ok  ' if good else 'MISS'} {what}: {min(values):.1f} {unit}, at most {bound}")
    sys.exit(failed)


main()
