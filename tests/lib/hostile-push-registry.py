#!/usr/bin/env python3
"""A registry that misbehaves when it is pushed to: hostile-push-registry.py PORT LOG

On 127.0.0.1:PORT and, as another host, on 127.0.0.2:PORT. What it does wrong is the first component
of the repository's name (see the methods below); what arrives is kept in memory and checked. Every
request is a line of LOG: host, method, path, bytes of its body that came, Authorization.
"""

import hashlib
import http.server
import itertools
import json
import re
import socket
import sys
import threading
import time

REALM = 'Basic realm="here"'


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    blobs, manifests, uploads, seen = {}, {}, {}, {}
    numbers = itertools.count()
    answered = False
    body_len = 0

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def parse_request(self):
        self.answered, self.body_len = False, 0
        return super().parse_request()

    def handle_expect_100(self):
        # Whoever wants the body says so when it reads it.
        return True

    # ---- requests

    def do_HEAD(self):
        self.any()

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD

    def any(self):
        path, _, query = self.path.partition("?")
        parts = path.split("/")
        self.query = dict(p.partition("=")[::2] for p in query.split("&"))
        try:
            if parts[1] == "token":
                return self.token()
            if len(parts) < 5 or parts[1] != "v2":
                return self.answer(404)
            self.mode = parts[2].replace("-", "_")
            match = re.match(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/(.*)", path)
            self.repository, kind, self.name = match.groups()
            key = (self.command, kind, self.mode)
            with self.lock:
                self.times = self.seen[key] = self.seen.get(key, 0) + 1
            kind = {"blobs/uploads": "upload", "blobs": "blob", "manifests": "manifest"}[kind]
            if kind == "upload":
                kind = "start" if self.command == "POST" else "status" if self.command == "GET" else "send"
            getattr(self, f"{self.mode}_{kind}", getattr(self, "good_" + kind))()
        finally:
            if not self.answered or self.left():
                self.close_connection = True
            with self.lock:
                self.server.log.write(
                    f"{self.server.server_address[0]} {self.command} {self.path} {self.body_len} "
                    f"{self.headers.get('Authorization', '-')}\n"
                )
                self.server.log.flush()

    def left(self):
        return int(self.headers.get("Content-Length", 0)) - self.body_len

    def body(self, most=1 << 30, sink=None, pause=0):
        """Up to @most bytes of what is sent, into @sink as they come."""
        data = bytearray() if sink is None else sink
        if self.headers.get("Expect"):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.left() > 0 and most > 0:
            piece = self.rfile.read1(min(65536, self.left(), most))
            if not piece:
                break
            data += piece
            self.body_len += len(piece)
            most -= len(piece)
            time.sleep(pause)
        return data

    def answer(self, status, body=b"", **headers):
        self.answered = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status not in (204, 304) and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def cut(self):
        self.answered, self.close_connection = True, True
        self.connection.shutdown(socket.SHUT_RDWR)

    def other(self):
        return f"http://127.0.0.2:{self.server.server_address[1]}"

    # ---- a registry as it should be

    def good_blob(self):
        self.answer(200 if (self.repository, self.name) in self.blobs else 404)

    def place(self, number):
        return f"/v2/{self.repository}/blobs/uploads/{number}?state=a%2Fb"

    def new_upload(self):
        with self.lock:
            number = str(next(self.numbers))
            self.uploads[number] = bytearray()
        return number

    def good_start(self):
        self.answer(202, Location=self.place(self.new_upload()), Range="0-0")

    def range(self, number):
        return f"0-{max(len(self.uploads[number]) - 1, 0)}"

    def good_status(self):
        if self.name not in self.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "gone")
        self.answer(204, Location=self.place(self.name), Range=self.range(self.name))

    def good_send(self, pause=0):
        if self.query.get("state") != "a%2Fb" or self.name not in self.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "gone")
        data = self.uploads[self.name]
        if self.command == "PATCH":
            if self.headers["Content-Range"].split("-")[0] != str(len(data)):
                return self.error(416, "BLOB_UPLOAD_INVALID", "not what comes next")
            self.body(sink=data)
            return self.answer(202, Location=self.place(self.name), Range=self.range(self.name))
        self.body(sink=data, pause=pause)
        self.finish(bytes(data))

    def finish(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != self.query["digest"].replace("%3A", ":"):
            return self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[(self.repository, digest)] = len(data)
        self.answer(201, Location=f"/v2/{self.repository}/blobs/{digest}")

    def good_manifest(self):
        if self.command != "PUT":
            return self.answer(404)
        data = bytes(self.body())
        manifest = json.loads(data)
        for item in [manifest["config"], *manifest["layers"]]:
            if (self.repository, item["digest"]) not in self.blobs:
                return self.error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        self.keep_manifest(data)

    def keep_manifest(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.manifests[(self.repository, self.name)] = data
        self.answer(201, Docker_Content_Digest=digest)

    # ---- what works in the end

    def cut_send(self):
        """Each body is cut after 3 MiB, and what came is kept."""
        if self.left() <= 3 << 20:
            return self.good_send()
        self.body(3 << 20, self.uploads[self.name])
        self.cut()

    def forget_send(self):
        """The first body is cut, and what came is forgotten."""
        if self.times > 1 or self.left() < 4096:
            return self.good_send()
        self.body(4096)
        del self.uploads[self.name]
        self.cut()

    def late_send(self):
        """Everything came and is kept, but the answer is lost."""
        if self.times == 1:
            self.finish_silently()
            return self.cut()
        self.good_send()

    def finish_silently(self):
        data = bytes(self.body())
        self.blobs[(self.repository, self.query["digest"].replace("%3A", ":"))] = len(data)
        del self.uploads[self.name]

    def small_send(self):
        if self.left() > 4 << 20:
            return self.answer(413)
        self.good_send()

    def busy_start(self):
        if self.times == 1:
            return self.answer(429, Retry_After="0")
        self.good_start()

    def busy_send(self):
        if self.times == 1:
            return self.answer(503)
        self.good_send()

    def slow_send(self):
        self.good_send(pause=0.005)

    def relative_start(self):
        self.answer(202, Location=f"{self.new_upload()}?state=a%2Fb")

    def elsewhere_start(self):
        """Blobs go to another host, which is nobody's business to log in at."""
        if self.headers.get("Authorization") is None:
            return self.answer(401, WWW_Authenticate=REALM)
        self.answer(202, Location=self.other() + self.place(self.new_upload()))

    def moved_start(self):
        if self.server.server_address[0] == "127.0.0.1":
            if self.headers.get("Authorization") is None:
                return self.answer(401, WWW_Authenticate=REALM)
            return self.answer(307, Location=self.other() + self.path)
        self.answer(202, Location=self.other() + self.place(self.new_upload()))

    def token(self):
        with self.lock:
            self.server.tokens += 1
            token = f"t{self.server.tokens}"
            self.server.good_for[token] = 3
        self.answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def tokens(self):
        """A token that is good for three requests. True: this is one of them."""
        token = self.headers.get("Authorization", "").partition(" ")[2]
        with self.lock:
            left = self.server.good_for.get(token, 0)
            self.server.good_for[token] = left - 1
        if left > 0:
            return True
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.answer(401, WWW_Authenticate=f'Bearer realm="{base}/token",service="x"')
        return False

    def tokens_blob(self):
        if self.tokens():
            self.good_blob()

    def tokens_start(self):
        if self.tokens():
            self.good_start()

    def tokens_send(self):
        if self.tokens():
            self.good_send()

    def tokens_manifest(self):
        if self.tokens():
            self.good_manifest()

    # ---- what must fail

    def cut_always_send(self):
        self.body(1000)
        self.cut()

    def broken_start(self):
        self.answer(500)

    def nowhere_start(self):
        self.answer(202)

    def to_file_start(self):
        self.answer(202, Location="file:///etc/passwd")

    def user_start(self):
        self.answer(202, Location=f"http://root:secret@127.0.0.2:{self.server.server_address[1]}/v2/x/blobs/uploads/0")

    def long_start(self):
        self.answer(202, Location="/v2/" + "x" * 60000)

    def asks_elsewhere_start(self):
        self.elsewhere_start()

    def asks_elsewhere_send(self):
        self.answer(401, WWW_Authenticate=REALM)

    def redirects_send(self):
        self.answer(307, Location=self.path)

    def loses_send(self):
        self.answer(302, Location=self.path)

    def overtakes_send(self):
        """More has come than was sent."""
        if self.command == "PUT":
            self.body(1000)
            return self.cut()
        self.answer(202, Range="0-99999999999")

    def overtakes_status(self):
        self.answer(204, Location=self.place(self.name), Range="0-1000")

    def backwards_send(self):
        if self.command == "PUT":
            self.body(5000)
            return self.cut()
        self.body()
        self.answer(202, Location=self.place(self.name), Range="0-1")

    def backwards_status(self):
        self.answer(204, Location=self.place(self.name), Range="0-4999")

    def endless(self, status):
        self.answered, self.close_connection = True, True
        self.send_response(status)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for _ in range(1024):
                self.wfile.write(b" " * (1 << 20))
        except OSError:
            pass

    def endless_start(self):
        self.endless(202)

    def endless_manifest(self):
        self.body()
        self.endless(201)

    def headers_start(self):
        self.answered, self.close_connection = True, True
        self.send_response(202)
        try:
            for n in range(100000):
                self.wfile.write(f"X-{n}: {'x' * 1000}\r\n".encode())
        except OSError:
            pass

    def other_digest_manifest(self):
        self.body()
        self.answer(201, Docker_Content_Digest="sha256:" + "1" * 64)

    def pretends_blob(self):
        """Everything is there already, until it is needed."""
        self.answer(200)

    def denied_start(self):
        self.error(403, "DENIED", "\x1b]0;owned\x07requested access\x1b[2J is denied")

    def garbage_start(self):
        self.answered, self.close_connection = True, True
        self.wfile.write(b"\x16\x03\x01\x00 not HTTP at all\r\n\r\n")

    def flips_send(self):
        """What arrives is not what was sent."""
        data = self.body()
        data[len(data) // 2] ^= 1
        self.finish(bytes(data))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients hang up on what they get here


def main():
    port, log = int(sys.argv[1]), open(sys.argv[2], "a")
    for address in "127.0.0.2", "127.0.0.1":
        server = Server((address, port), Registry)
        server.log, server.tokens, server.good_for = log, 0, {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
