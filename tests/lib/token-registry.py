#!/usr/bin/env python3
"""A registry with a token server, good and bad: token-registry.py PORT LOG [TLS-PORT DIRECTORY]

In front of the registry at 127.0.0.1:5000, on 127.0.0.1:PORT and, as another host, on 127.0.0.2:PORT; with
TLS by DIRECTORY/server.crt on TLS-PORT, where whoever wants may show a certificate by DIRECTORY/ca.crt. What
its token server does is the first component of a repository's name: /v2/MODE/box/… is /v2/box/… there, with
tokens of /token/MODE (see token_* below). Every request is a line of LOG: host, method, path, scheme of
Authorization, what was posted, the common name of the certificate.
"""
import base64
import http.client
import http.server
import json
import secrets
import socket
import ssl
import sys
import threading
import time
import urllib.parse

USER = "Basic " + base64.b64encode(b"user:secret").decode()
PATIENCE = 30
LARGE = 1 << 20


class State:
    """What the modes remember; under one lock."""

    def __init__(self):
        self.lock = threading.Condition()
        self.tokens = {}  # token: requests that it is still good for
        self.refresh = {}  # mode: the refresh token that is good
        self.asked = {}  # mode: times that its token server was asked
        self.streaming = self.streamed = False  # of the mode "hold"

    def give(self, uses=1 << 30):
        token = secrets.token_hex(8)
        self.tokens[token] = uses
        return token

    def take(self, authorization):
        token = (authorization or "").removeprefix("Bearer ")
        self.tokens[token] = self.tokens.get(token, 0) - 1
        return self.tokens[token] >= 0


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def handle_any(self):
        self.body = self.read_body()
        where = urllib.parse.urlsplit(self.path)
        parts = where.path.split("/")
        self.state, self.mode = self.server.state, parts[2] if len(parts) > 2 else ""
        kind = self.headers.get("Authorization", "-").split(" ")[0]
        form = self.body.decode() if parts[1] == "token" and self.body else "-"
        certificate = self.request.getpeercert() if isinstance(self.request, ssl.SSLSocket) else None
        name = certificate["subject"][0][0][1] if certificate else "-"
        with self.state.lock:
            print(self.server.server_address[0], self.command, self.path, kind, form, name, file=self.server.log, flush=True)
        if parts[1] == "token":
            with self.state.lock:
                times = self.state.asked[self.mode] = self.state.asked.get(self.mode, 0) + 1
            return getattr(self, "token_" + self.mode.replace("-", "_"))(where, times)
        if self.path == "/v2/":
            return self.ping()
        getattr(self, "registry_" + self.mode.replace("-", "_"), self.registry)()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    # ---- answers

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def document(self, value):
        self.answer(200, json.dumps(value).encode(), [("Content-Type", "application/json")])

    def ask(self, realm=None):
        realm = realm or f"http://127.0.0.1:{self.server.port}/token/{self.mode}"
        self.answer(401, b"", [("WWW-Authenticate", f'Bearer realm="{realm}",service="masu"')])

    def forwarded(self):
        """Status, headers and body of the registry behind."""
        behind = http.client.HTTPConnection("127.0.0.1", 5000)
        path = self.path.replace(f"/v2/{self.mode}/", "/v2/", 1)
        behind.putrequest(self.command, path, skip_accept_encoding=True)
        for name, value in self.headers.items():  # Accept comes more than once
            if name not in ("Authorization", "Host", "Transfer-Encoding", "Expect", "Content-Length"):
                behind.putheader(name, value)
        behind.putheader("Content-Length", str(len(self.body)))
        behind.endheaders(self.body)
        reply = behind.getresponse()
        kept = [(k, v) for k, v in reply.getheaders() if k in (
            "Content-Type", "Content-Range", "Docker-Content-Digest", "Range", "Link", "Content-Length")]
        if place := reply.getheader("Location"):
            where = urllib.parse.urlsplit(place)
            kept.append(("Location", f"{where.path.replace('/v2/', f'/v2/{self.mode}/', 1)}?{where.query}"))
        return reply.status, kept, reply.read()

    def forward(self):
        status, headers, body = self.forwarded()
        self.answer(status, body, headers)

    def registry(self):
        with self.state.lock:
            good = self.state.take(self.headers.get("Authorization"))
        if good:
            self.forward()
        else:
            self.ask()

    # ---- what works

    def ping(self):
        self.mode = "login"
        if not self.state.take(self.headers.get("Authorization")):
            return self.ask()
        self.document({})

    def token_login(self, where, times):
        """A refresh token for the password, where it is asked for; tokens for either."""
        query = urllib.parse.parse_qs(where.query)
        form = urllib.parse.parse_qs(self.body.decode())
        if self.command == "GET" and self.headers.get("Authorization") == USER:
            answer = {"access_token": self.state.give()}
            if query.get("offline_token") == ["true"]:
                answer["refresh_token"] = self.state.refresh["login"] = "a-refresh+token/for=user"
            return self.document(answer)
        if self.command == "POST" and form.get("grant_type") == ["refresh_token"] and form.get("client_id") and \
                form.get("refresh_token") == [self.state.refresh.get("login")]:
            return self.document({"access_token": self.state.give(), "expires_in": 300})
        self.answer(401 if self.command == "GET" else 400, b'{"error": "invalid_grant"}')

    def token_rotate(self, where, times):
        """Every refresh token is good once; every token for three requests."""
        form = urllib.parse.parse_qs(self.body.decode())
        if form.get("refresh_token") != [self.state.refresh.setdefault("rotate", "first")]:
            return self.answer(400, b'{"error": "invalid_grant"}')
        self.state.refresh["rotate"] = secrets.token_hex(8)
        self.document({"token": self.state.give(3), "refresh_token": self.state.refresh["rotate"]})

    def token_good(self, where, times):
        self.document({"token": self.state.give()})

    def token_busy(self, where, times):
        if times < 4:
            self.close_connection = True
        if times == 1:
            return self.answer(429)
        if times == 2:
            return self.answer(503)
        if times == 3:
            return None  # hangs up
        self.document({"token": self.state.give()})

    def registry_hold(self):
        """The first token ends when a layer has begun; that layer ends when the second one is asked for."""
        with self.state.lock:
            good = self.state.take(self.headers.get("Authorization"))
            first = good and "/blobs/" in self.path and not self.state.streaming
        if not good:
            return self.ask()
        status, headers, body = self.forwarded()
        if not first or len(body) < LARGE:
            return self.answer(status, body, headers)
        with self.state.lock:
            if self.state.streaming:
                return self.ask()
            self.state.streaming = True
            self.state.tokens.clear()
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.answer(status, body[: LARGE // 2], headers)
        with self.state.lock:
            self.state.lock.wait_for(lambda: self.state.asked["hold"] > 1, PATIENCE)
        self.wfile.write(body[LARGE // 2 :])
        with self.state.lock:
            self.state.streamed = True
            self.state.lock.notify_all()

    def token_hold(self, where, times):
        """The second token is given when the layer has gone out, which needs somebody who reads it."""
        with self.state.lock:
            self.state.lock.notify_all()
            if times > 1 and not self.state.lock.wait_for(lambda: self.state.streamed, PATIENCE):
                return self.answer(400)
        self.document({"token": self.state.give()})

    # ---- what must fail

    def registry_never(self):
        """No token is good."""
        self.ask()

    def token_never(self, where, times):
        self.document({"token": self.state.give()})

    def token_denied(self, where, times):
        self.answer(403)

    def token_down(self, where, times):
        self.answer(500)

    def token_garbage(self, where, times):
        self.answer(200, b"\x00\xff<html>")

    def token_not_http(self, where, times):
        self.wfile.write(b"\x16\x03\x01\x00 not HTTP at all\r\n\r\n")
        self.close_connection = True

    def token_none(self, where, times):
        self.document({"token": ""})

    def token_number(self, where, times):
        self.document({"token": 7, "access_token": ["x"]})

    def token_lines(self, where, times):
        self.document({"token": "x\r\nX-Injected: yes"})

    def token_huge(self, where, times):
        self.document({"token": "x" * (100 << 10)})

    def token_deep(self, where, times):
        self.answer(200, b"[" * 200000)

    def endless(self, piece):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            for _ in range(1024):
                self.wfile.write(piece)
        except OSError:
            pass

    def token_endless(self, where, times):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        self.endless(b" " * (1 << 20))

    def token_headers(self, where, times):
        self.endless(b"X-Line: %s\r\n" % (b"x" * 16000))

    def token_moved(self, where, times):
        self.answer(307, b"", [("Location", f"http://127.0.0.2:{self.server.port}/token/good")])

    def token_circle(self, where, times):
        self.answer(302, b"", [("Location", self.path)])

    def registry_other(self):
        """The token server is another host."""
        if not self.state.take(self.headers.get("Authorization")):
            return self.ask(f"http://127.0.0.2:{self.server.port}/token/anonymous")
        self.forward()

    def token_anonymous(self, where, times):
        self.answer(401)

    def registry_file(self):
        self.ask("file:///etc/passwd")

    def registry_userinfo(self):
        self.ask(f"http://127.0.0.1@127.0.0.2:{self.server.port}/token/anonymous")

    def registry_elsewhere(self):
        """Blobs are at another host."""
        if "/blobs/" in self.path and self.server.server_address[0] == "127.0.0.1":
            return self.answer(307, b"", [("Location", f"https://127.0.0.2:{self.server.port}{self.path}")])
        self.forward()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients hang up on what they get here


def main():
    state, log = State(), open(sys.argv[2], "a")
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4] + "/server.crt", sys.argv[4] + "/server.key")
        context.load_verify_locations(sys.argv[4] + "/ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
    for address in "127.0.0.2", "127.0.0.1":
        for port in [int(port) for port in (sys.argv[1], *sys.argv[3:4])]:
            server = Server((address, port), Registry)
            server.state, server.log, server.port = state, log, port
            if port != int(sys.argv[1]):
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", file=log, flush=True)
    while True:
        time.sleep(3600)


main()
