#!/usr/bin/env python3
"""A reverse proxy that counts what passes and misbehaves on order. Standard library only.

    faulty.py --listen PORT --to HOST:PORT --log FILE --faults FILE

Each answer appends one line to the log when it ends (one that hangs: when it begins), its fields separated by tabs:

    method  path  range-asked  status  body-bytes-sent  object

where `object` is the digest of the blob or manifest, or `-`. The file of faults is read again whenever it changes;
each of its lines is a fault, `kind key=value ...`, and the first that applies to a request is the one that happens:

    match=TEXT  only requests whose method and path ("GET /v2/...") contain TEXT
    times=N     only for the first N such requests (default: all)

    html                    200 with a page of HTML instead of the object
    status code=N [retry_after=S]
    hang                    no answer at all until the other side gives up
    reset                   the connection is closed instead of an answer
    longer  bytes=N         Content-Length and body are N bytes longer than the object
    shorter bytes=N         Content-Length and body are N bytes shorter
    wrong   at=N            byte N of the object is another one
    cut     at=N            no byte at or after N ever leaves: the connection is closed there
    slow    rate=N          at most N bytes a second
"""

import argparse
import http.client
import os
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 256 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
DIGEST = re.compile(r"/blobs/(sha\d+:[0-9a-f]+)")
PAGE = b"<!doctype html><html><body>Please log in.</body></html>\n"


class Fault:
    """One line of the file of faults."""

    def __init__(self, line):
        self.kind, *pairs = line.split()
        options = dict(pair.split("=", 1) for pair in pairs)
        self.match = options.pop("match", "")
        self.left = int(options.pop("times", -1))
        self.options = {key: int(value) for key, value in options.items()}

    def __getitem__(self, key):
        return self.options[key]


class Faults:
    """The faults in force, read again when their file changes."""

    def __init__(self, path):
        self.path, self.stamp, self.faults, self.lock = path, None, [], threading.Lock()

    def pick(self, text):
        with self.lock:
            self._reload()
            for fault in self.faults:
                if fault.match in text and fault.left != 0:
                    fault.left -= 1
                    return fault
        return None

    def _reload(self):
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp == self.stamp:
            return
        self.stamp, self.faults = stamp, []
        if stamp is not None:
            with open(self.path, encoding="utf-8") as lines:
                self.faults = [Fault(line) for line in lines if line.strip()]


class Cut(Exception):
    """The connection to the client is to be closed here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.sent, self.status, self.object, self.logged = 0, 0, self._named_object(), False
        try:
            self._answer(self.server.faults.pick(f"{self.command} {self.path}"))
        except Cut:
            self._close(hard=False)
        except (BrokenPipeError, ConnectionResetError):
            self._close(hard=False)
        except (OSError, http.client.HTTPException):
            # The registry is gone: so are we, as far as the other side can see.
            self._close(hard=True)
        finally:
            self._log_answer()

    do_HEAD = do_GET

    def _answer(self, fault):
        if fault and fault.kind == "hang":
            self._log_answer()
            self.rfile.read(1)
            raise Cut
        if fault and fault.kind == "reset":
            raise ConnectionAbortedError
        if fault and fault.kind == "html":
            return self._short_answer(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        if fault and fault.kind == "status":
            return self._status_answer(fault)
        upstream = http.client.HTTPConnection(*self.server.to, timeout=60)
        try:
            # One by one, not as a dictionary: a client may send several Accept lines.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.endheaders()
            self._relay(upstream.getresponse(), fault)
        finally:
            upstream.close()

    def _status_answer(self, fault):
        headers = {"Content-Type": "application/json"}
        if "retry_after" in fault.options:
            headers["Retry-After"] = str(fault["retry_after"])
        codes = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}
        body = '{"errors":[{"code":"%s","message":"on order"}]}' % codes.get(fault["code"], "UNKNOWN")
        self._short_answer(fault["code"], body.encode(), headers)

    def _short_answer(self, status, body, headers):
        self._start(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self._send(body)

    def _relay(self, response, fault):
        headers = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
        self.object = response.getheader("Docker-Content-Digest", self.object)
        length = response.getheader("Content-Length")
        start, extra = 0, 0
        if content_range := response.getheader("Content-Range"):
            start = int(re.match(r"bytes (\d+)-", content_range).group(1))
        if fault and fault.kind in ("longer", "shorter") and length is not None:
            extra = fault["bytes"] if fault.kind == "longer" else -fault["bytes"]
            headers["Content-Length"] = str(int(length) + extra)
        if length is None and self.command != "HEAD":
            headers["Connection"] = "close"
            self.close_connection = True
        self._start(response.status, headers)
        if self.command == "HEAD":
            return
        left = None if extra >= 0 else int(headers["Content-Length"])
        position = start
        while chunk := response.read(CHUNK if left is None else min(CHUNK, left)):
            self._send_piece(chunk, position, fault)
            position += len(chunk)
            if left is not None:
                left -= len(chunk)
        if extra > 0:
            self._send(bytes(extra))

    def _send_piece(self, chunk, position, fault):
        kind = fault.kind if fault else None
        if kind == "wrong" and position <= fault["at"] < position + len(chunk):
            chunk = bytearray(chunk)
            chunk[fault["at"] - position] ^= 0xFF
        if kind == "cut" and position + len(chunk) > fault["at"]:
            self._send(chunk[: max(0, fault["at"] - position)])
            raise Cut
        if kind == "slow":
            time.sleep(len(chunk) / fault["rate"])
        self._send(chunk)

    def _start(self, status, headers):
        self.status = status
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, data):
        self.wfile.write(data)
        self.sent += len(data)

    def _close(self, hard):
        self.close_connection = True
        if hard:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _named_object(self):
        found = DIGEST.search(self.path)
        return found.group(1) if found else "-"

    def _log_answer(self):
        if self.logged:
            return
        self.logged = True
        asked = self.headers.get("Range", "-")
        fields = (self.command, self.path, asked, self.status, self.sent, self.object)
        with self.server.log_lock, open(self.server.log, "a", encoding="utf-8") as log:
            log.write("\t".join(map(str, fields)) + "\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--faults", required=True)
    options = parser.parse_args()
    server = Server(("127.0.0.1", options.listen), Handler)
    host, port = options.to.rsplit(":", 1)
    server.to, server.log, server.log_lock = (host, int(port)), options.log, threading.Lock()
    server.faults = Faults(options.faults)
    server.serve_forever()


if __name__ == "__main__":
    main()
