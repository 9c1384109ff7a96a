#!/usr/bin/env python3
"""Makes the test images and pushes them to a registry, without any network but loopback. Standard library only.

    images.py --registry HOST:PORT --out FOLDER --platform ARCH[/VARIANT] --big-mib N

The images are the same bytes at every run. FOLDER/<image>/ then holds one word per file, for the shell to read:
`repository`, `tag`, `digest` (of what the tag names), `manifest` (of the platform's manifest), `config` (of the
platform's image config), and in `blobs` the digest and size of that platform's config and layers, one per line.
"""

import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import tarfile
import urllib.parse

SCHEMA2 = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "index": "application/vnd.oci.image.index.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
PLATFORMS = ["amd64", "arm64/v8", "arm/v7"]
KIB, MIB = 1024, 1024 * 1024


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(name, size):
    """A layer with one file of `size` bytes that do not compress: its tar, and that tar in gzip."""
    source = random.Random(name)
    content = b"".join(source.randbytes(min(MIB, size - at)) for at in range(0, size, MIB))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo(f"layers/{name}")
        entry.size = size
        archive.addfile(entry, io.BytesIO(content))
    return tar.getvalue(), gzip.compress(tar.getvalue(), compresslevel=0, mtime=0)


class Registry:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def _request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status}")
        return response

    def push_blob(self, repository, data):
        location = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"").getheader("Location")
        url = urllib.parse.urlsplit(location)
        query = urllib.parse.parse_qsl(url.query) + [("digest", digest_of(data))]
        headers = {"Content-Type": "application/octet-stream"}
        self._request("PUT", f"{url.path}?{urllib.parse.urlencode(query)}", data, headers)
        return {"digest": digest_of(data), "size": len(data)}

    def push_manifest(self, repository, reference, document):
        data = json.dumps(document, indent=3).encode()
        headers = {"Content-Type": document["mediaType"]}
        self._request("PUT", f"/v2/{repository}/manifests/{reference or digest_of(data)}", data, headers)
        return {"mediaType": document["mediaType"], "digest": digest_of(data), "size": len(data)}


def platform_of(text):
    architecture, _, variant = text.partition("/")
    return {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}


def push_image(registry, repository, tag, types, layers, platform):
    """Pushes one image for one platform; its manifest's descriptor, and what the shell wants to know."""
    descriptors, diff_ids = [], []
    for tar, compressed in layers:
        diff_ids.append(digest_of(tar))
        descriptors.append({"mediaType": types["layer"], **registry.push_blob(repository, compressed)})
    config = {
        **platform_of(platform),
        "created": "2026-01-01T00:00:00Z",
        "config": {"Labels": {"repository": repository, "platform": platform}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "images.py"} for _ in layers],
    }
    pushed = registry.push_blob(repository, json.dumps(config).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": {"mediaType": types["config"], **pushed},
        "layers": descriptors,
    }
    descriptor = registry.push_manifest(repository, tag, manifest)
    blobs = {blob["digest"]: blob["size"] for blob in [pushed, *descriptors]}
    facts = {"manifest": descriptor["digest"], "config": pushed["digest"], "blobs": blobs}
    return descriptor, facts


def push_index(registry, repository, tag, types, layer_bytes, wanted):
    """Pushes an index of all PLATFORMS; the facts of the wanted one."""
    children, facts = [], None
    for platform in PLATFORMS:
        layers = [layer(f"{repository}-{platform}-{n}".replace("/", "-"), layer_bytes) for n in range(3)]
        descriptor, found = push_image(registry, repository, None, types, layers, platform)
        children.append({**descriptor, "platform": platform_of(platform)})
        facts = found if platform == wanted else facts
    index = {"schemaVersion": 2, "mediaType": types["index"], "manifests": children}
    return registry.push_manifest(repository, tag, index), facts


def write_facts(folder, repository, tag, descriptor, facts):
    os.makedirs(folder, exist_ok=True)
    facts = {**facts, "repository": repository, "tag": tag, "digest": descriptor["digest"]}
    facts["blobs"] = "\n".join(f"{digest} {size}" for digest, size in facts["blobs"].items())
    for name, value in facts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(value + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--platform", default="amd64")
    parser.add_argument("--big-mib", type=int, default=200)
    options = parser.parse_args()
    registry = Registry(options.registry)

    def single(name, repository, types, layers):
        made = push_image(registry, repository, "1", types, layers, options.platform)
        write_facts(os.path.join(options.out, name), repository, "1", *made)

    def index(name, repository, types, layer_bytes):
        made = push_index(registry, repository, "1", types, layer_bytes, options.platform)
        write_facts(os.path.join(options.out, name), repository, "1", *made)

    # Layers on both sides of 1 MiB: up to there a blob is checked whole before its first byte is sent on.
    sizes = [20 * KIB] * 28 + [1500 * KIB, 3 * MIB]
    many = [layer(f"many-{n}", size) for n, size in enumerate(sizes)]
    single("many", "e2e/many", SCHEMA2, many)
    single("big", "e2e/big", OCI, [layer("big", options.big_mib * MIB)])
    single("medium", "e2e/medium", OCI, [layer("medium", 24 * MIB)])
    single("small", "e2e/small", OCI, [layer("small", 100 * KIB)])
    index("multi", "e2e/multi", OCI, 200 * KIB)
    index("list", "library/list", SCHEMA2, 200 * KIB)


if __name__ == "__main__":
    main()
