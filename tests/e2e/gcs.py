#!/usr/bin/env python3
"""The XML API of Google Cloud Storage in front of fake-gcs-server, which has no uploads by it. Standard library only.

    gcs.py --listen PORT --to HOST:PORT

The library behind `gs://` speaks the XML API. fake-gcs-server answers its PUT with 400 "invalid uploadType" unless the URL
is signed, and knows no uploads in parts. Here a PUT becomes an upload by the JSON API, with the same precondition; parts
are collected and uploaded as one. All other requests go to fake-gcs-server as they are.
"""

import argparse
import http.client
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


class Gate(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    to = ""
    uploads = {}
    numbers = itertools.count(1)
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def ask(self, method, path, headers, body=None):
        connection = http.client.HTTPConnection(self.to, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.getheaders(), response.read()
        connection.close()
        return answer

    def pass_on(self, body):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"host"}}
        status, headers, answer = self.ask(self.command, self.path, headers, body or None)
        kept = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP or self.command == "HEAD"]
        self.answer(status, kept, answer)

    def upload(self, bucket, name, body):
        """Uploads by the JSON API. Returns what the XML API answers."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None:
            path += f"&ifGenerationMatch={wanted}"
        headers = {"Content-Type": self.headers.get("Content-Type", "application/octet-stream")}
        status, _, answer = self.ask("POST", path, headers, body)
        if status != 200:
            return status, [], answer
        made = json.loads(answer)
        etag = made["etag"].strip('"')
        return 200, [("ETag", f'"{etag}"'), ("x-goog-generation", made["generation"])], b""

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        _, bucket, *rest = url.path.split("/", 2)
        name = unquote(rest[0]) if rest else ""
        number, upload = query.get("partNumber"), query.get("uploadId")
        if self.command == "POST" and "uploads" in query:
            with self.lock:
                upload = f"upload-{next(self.numbers)}"
                self.uploads[upload] = {}
            text = (
                f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{quote(name)}</Key>"
                f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
            self.answer(200, [("Content-Type", "application/xml")], text.encode())
        elif upload is not None and upload not in self.uploads:
            self.answer(404, [], b"<Error><Code>NoSuchUpload</Code></Error>")
        elif self.command == "PUT" and number and upload:
            self.uploads[upload][int(number)] = body
            self.answer(200, [("ETag", f'"{upload}-{number}"')], b"")
        elif self.command == "POST" and upload:
            parts = self.uploads.pop(upload)
            status, headers, answer = self.upload(bucket, name, b"".join(parts[at] for at in sorted(parts)))
            etag = dict(headers).get("ETag", "")
            text = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
            self.answer(status, headers, answer or text.encode())
        elif self.command == "DELETE" and upload:
            self.uploads.pop(upload)
            self.answer(204, [("Content-Length", "0")], b"")
        elif self.command == "PUT":
            self.answer(*self.upload(bucket, name, body))
        else:
            self.pass_on(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", required=True)
    arguments = parser.parse_args()
    Gate.to = arguments.to
    server = ThreadingHTTPServer(("127.0.0.1", arguments.listen), Gate)
    server.daemon_threads = True
    server.serve_forever()


main()
