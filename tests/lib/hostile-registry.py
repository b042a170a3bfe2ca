#!/usr/bin/env python3
"""A registry that misbehaves: hostile-registry.py PORT IMAGE-DIR LOG

Serves one image on 127.0.0.1:PORT and, as another host, on 127.0.0.2:PORT. What it does wrong is
the first component of the repository's name: /v2/cut/box/… (see the methods below). Every request
is a line of LOG: host, method, path, Range, Authorization. IMAGE-DIR: an OCI layout with one image.
"""

import copy
import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time
import zlib

OCI = "application/vnd.oci.image."
MANIFEST, INDEX = OCI + "manifest.v1+json", OCI + "index.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def zeros(header, size):
    """A tar of one file of @size zero bytes, compressed member by member: gzip of 64 MiB is 64 KiB."""

    def member(data):
        z = zlib.compressobj(9, zlib.DEFLATED, 31)
        return z.compress(data) + z.flush()

    piece = 64 << 20
    return member(header) + member(bytes(piece)) * (size // piece) + member(bytes(1024))


def tar_header(name, size):
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % 0
    block[148:156] = b"        "
    block[156:157] = b"0"
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


class Store:
    """What the image is made of, and its forgeries; blobs by digest."""

    def __init__(self, layout):
        self.blobs = {}
        for name in os.listdir(layout + "/blobs/sha256"):
            with open(f"{layout}/blobs/sha256/{name}", "rb") as f:
                self.blobs["sha256:" + name] = f.read()
        with open(layout + "/index.json") as f:
            self.manifest = json.loads(self.blobs[json.load(f)["manifests"][0]["digest"]])
        self.config = json.loads(self.blobs[self.manifest["config"]["digest"]])

    def add(self, data):
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def with_config(self, change):
        config = copy.deepcopy(self.config)
        change(config)
        manifest = copy.deepcopy(self.manifest)
        manifest["config"].update(self.add(json.dumps(config).encode()))
        return manifest

    def with_layer(self, data, media_type, diff_id):
        manifest = self.with_config(lambda c: c["rootfs"].update(diff_ids=[diff_id]))
        manifest["layers"] = [{"mediaType": media_type, **self.add(data)}]
        return manifest


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = {}  # times that a path was asked for
    lock = threading.Lock()

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        with self.lock:
            times = self.seen[self.path] = self.seen.get(self.path, 0) + 1
            self.server.log.write(
                f"{self.server.server_address[0]} {self.command} {self.path} "
                f"{self.headers.get('Range', '-')} {self.headers.get('Authorization', '-')}\n"
            )
            self.server.log.flush()
        parts = self.path.split("?")[0].split("/")
        if self.path == "/v2/":
            return self.answer(200, b"{}")
        if parts[1] == "token":
            return self.answer(200, b'{"token": "from-another-host"}')
        if len(parts) < 6 or parts[1] != "v2":
            return self.answer(404, b"")
        behave = getattr(self, "do_" + parts[2].replace("-", "_"), None)
        if not behave:
            return self.answer(404, b"")
        behave(parts[4] == "manifests", parts[5], times)

    # ---- answers

    def answer(self, status, body, headers=(), length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None and length != len(body):
            self.close_connection = True

    def document(self, value, media_type=MANIFEST):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answer(200, body, [("Content-Type", media_type)])

    def blob(self, name):
        data = self.server.store.blobs.get(name)
        if data is None:
            return self.answer(404, b"")
        self.answer(200, data, [("Content-Type", "application/octet-stream")])

    def either(self, manifest, is_manifest, name):
        if is_manifest:
            self.document(manifest)
        else:
            self.blob(name)

    def is_layer(self, name):
        return any(layer["digest"] == name for layer in self.server.store.manifest["layers"])

    def other(self):
        return f"http://127.0.0.2:{self.server.server_address[1]}"

    # ---- what works in the end

    def do_good(self, is_manifest, name, times):
        self.either(self.server.store.manifest, is_manifest, name)

    def cut(self, is_manifest, name, ranges):
        """A layer comes in ten pieces, the connection ends after each."""
        if is_manifest or not self.is_layer(name):
            return self.good(is_manifest, name)
        data = self.server.store.blobs[name]
        begin = 0
        if ranges and self.headers.get("Range"):
            begin = int(self.headers["Range"][len("bytes=") :].split("-")[0])
        piece = len(data) // 10 + 1
        rest = data[begin:]
        if not ranges:  # longer each time, from the beginning
            piece *= self.seen[self.path]
        headers = [("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")] if begin else []
        self.answer(206 if begin else 200, rest[:piece], headers, len(rest))

    def good(self, is_manifest, name):
        self.either(self.server.store.manifest, is_manifest, name)

    def do_cut(self, is_manifest, name, times):
        self.cut(is_manifest, name, True)

    def do_cut_norange(self, is_manifest, name, times):
        self.cut(is_manifest, name, False)

    def do_busy(self, is_manifest, name, times):
        if times == 1:
            return self.answer(429, b"", [("Retry-After", "0")])
        if times == 2:
            return self.answer(503, b"")
        self.good(is_manifest, name)

    def do_elsewhere(self, is_manifest, name, times):
        """Blobs are at another host, as with registries whose blobs are in an object store."""
        if is_manifest and self.headers.get("Authorization") is None:
            return self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="here"')])
        if not is_manifest and self.server.server_address[0] == "127.0.0.1":
            return self.answer(307, b"", [("Location", f"{self.other()}{self.path}")])
        self.good(is_manifest, name)

    # ---- what must fail

    def do_cut_always(self, is_manifest, name, times):
        if is_manifest or not self.is_layer(name):
            return self.good(is_manifest, name)
        self.answer(200, b"", (), len(self.server.store.blobs[name]))

    def do_digest(self, is_manifest, name, times):
        if is_manifest or not self.is_layer(name):
            return self.good(is_manifest, name)
        data = bytearray(self.server.store.blobs[name])
        data[len(data) // 2] ^= 1
        self.answer(200, bytes(data))

    def do_wrong_half(self, is_manifest, name, times):
        """The beginning of a layer, with a wrong byte; the rest never comes."""
        if is_manifest or not self.is_layer(name):
            return self.good(is_manifest, name)
        data = bytearray(self.server.store.blobs[name])
        data[100] ^= 1
        if self.headers.get("Range"):
            return self.answer(503, b"")
        self.answer(200, bytes(data[: len(data) // 2]), (), len(data))

    def do_config_digest(self, is_manifest, name, times):
        if is_manifest or self.is_layer(name):
            return self.good(is_manifest, name)
        self.answer(200, self.server.store.blobs[name].replace(b"linux", b"linuX"))

    def do_manifest_digest(self, is_manifest, name, times):
        """Another manifest than the digest that was asked for."""
        self.good(is_manifest, name)

    def do_diff_id(self, is_manifest, name, times):
        wrong = ["sha256:" + "1" * 64] * len(self.server.store.manifest["layers"])
        manifest = self.server.store.with_config(lambda c: c["rootfs"].update(diff_ids=wrong))
        self.either(manifest, is_manifest, name)

    def do_more_layers(self, is_manifest, name, times):
        manifest = copy.deepcopy(self.server.store.manifest)
        manifest["layers"] = manifest["layers"] * 2
        self.either(manifest, is_manifest, name)

    def do_ambiguous(self, is_manifest, name, times):
        manifest = copy.deepcopy(self.server.store.manifest)
        manifest["manifests"] = []
        self.either(manifest, is_manifest, name)

    def do_other_type(self, is_manifest, name, times):
        """An index by its header, a manifest by its content."""
        if is_manifest:
            return self.document(self.server.store.manifest, INDEX)
        self.blob(name)

    def do_loop(self, is_manifest, name, times):
        """An index in an index in an index …"""
        if not is_manifest:
            return self.blob(name)
        inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        for _ in range(20):
            body = json.dumps(inner).encode()
            if digest(body) == name:
                break
            entry = {"mediaType": INDEX, **self.server.store.add(body)}
            entry["platform"] = {"os": "linux", "architecture": "amd64"}
            inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        self.document(self.server.store.blobs.get(name) or inner, INDEX)

    def do_big_config(self, is_manifest, name, times):
        manifest = copy.deepcopy(self.server.store.manifest)
        manifest["config"]["size"] = 4 << 30
        self.either(manifest, is_manifest, name)

    def endless(self):
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for _ in range(1024):  # a gigabyte is as good as no end
                self.wfile.write(b" " * (1 << 20))
        except OSError:
            pass

    def do_endless_manifest(self, is_manifest, name, times):
        self.endless()

    def do_endless_blob(self, is_manifest, name, times):
        if is_manifest:
            return self.document(self.server.store.manifest)
        self.endless()

    def do_bomb(self, is_manifest, name, times):
        size = 4 << 30
        store = self.server.store
        if is_manifest and not hasattr(store, "bomb"):
            data = zeros(tar_header(b"bomb", size), size)
            store.bomb = store.with_layer(data, OCI + "layer.v1.tar+gzip", "sha256:" + "2" * 64)
        self.either(getattr(store, "bomb", None), is_manifest, name)

    def do_foreign(self, is_manifest, name, times):
        manifest = copy.deepcopy(self.server.store.manifest)
        manifest["layers"][0]["mediaType"] = OCI + "layer.nondistributable.v1.tar+gzip"
        manifest["layers"][0]["urls"] = [self.other() + "/layer"]
        self.either(manifest, is_manifest, name)

    def do_unauthorized(self, is_manifest, name, times):
        self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="never enough"')])

    def do_token_elsewhere(self, is_manifest, name, times):
        realm = f'Bearer realm="{self.other()}/token",service="x"'
        if self.headers.get("Authorization") != "Bearer from-another-host":
            return self.answer(401, b"", [("WWW-Authenticate", realm)])
        self.answer(403, b"")

    def do_broken(self, is_manifest, name, times):
        self.answer(500, b"")

    def do_redirects(self, is_manifest, name, times):
        self.answer(307, b"", [("Location", self.path)])

    def do_to_file(self, is_manifest, name, times):
        self.answer(307, b"", [("Location", "file:///etc/passwd")])

    def do_garbage(self, is_manifest, name, times):
        self.wfile.write(b"\x16\x03\x01\x00 not HTTP at all\r\n\r\n")
        self.close_connection = True

    def do_headers(self, is_manifest, name, times):
        self.send_response(200)
        self.send_header("X-Big", "x" * (4 << 20))
        self.end_headers()
        self.close_connection = True

    def do_escapes(self, is_manifest, name, times):
        message = "\x1b]0;owned\x07\x1b[2J\r\n\u009b31mred\u202e"
        body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
        self.answer(403, body, [("Content-Type", "application/json")])

    def do_not_json(self, is_manifest, name, times):
        self.document(b'{"schemaVersion": 2,')

    def do_deep(self, is_manifest, name, times):
        self.document(b"[" * 200000)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients hang up on what they get here


def main():
    port, layout, log = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "a")
    store = Store(layout)
    for address in "127.0.0.2", "127.0.0.1":
        server = Server((address, port), Registry)
        server.store, server.log = store, log
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
