#!/usr/bin/env python3
"""Serves what `masu inspect` and `masu ps` print as Docker's API, so that Docker's own clients read it.

Usage: docker-api.py SOCKET     (MASU is the program; runs until it is killed)
Only what reading clients ask for: ping, version, lists and objects of containers, images, volumes and networks.
"""
import http.server
import json
import os
import re
import socketserver
import subprocess
import sys
import urllib.parse

MASU = os.environ["MASU"]


def masu(*arguments):
    result = subprocess.run([MASU, *arguments], capture_output=True, text=True)
    return result.returncode, result.stdout


def document(kind, name):
    status, text = masu("inspect", "--type", kind, name)
    return json.loads(text)[0] if status == 0 else None


def containers(query):
    _, text = masu("ps", "--no-trunc", "-q", *(["-a"] if query.get("all") in ("1", "true", "True") else []))
    for name in text.split():
        found = document("container", name)
        if found:
            yield {
                "Id": found["Id"],
                "Names": [found["Name"]],
                "Image": found["Config"]["Image"],
                "ImageID": found["Image"],
                "State": found["State"]["Status"],
                "Labels": found["Config"]["Labels"],
                "Created": 0,
                "Command": " ".join([found["Path"], *found["Args"]]),
                "Ports": [],
                "Mounts": found["Mounts"],
                "HostConfig": {"NetworkMode": found["HostConfig"]["NetworkMode"]},
                "NetworkSettings": {"Networks": found["NetworkSettings"]["Networks"]},
            }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, kind="application/json"):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in (("Content-Type", kind), ("Api-Version", "1.41"), ("Ostype", "linux"),
                           ("Server", "Docker/20.10.24 (linux)"), ("Content-Length", str(len(text)))):
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = re.sub(r"^/v1\.\d+", "", url.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if path == "/_ping":
            return self.answer(200, b"OK", "text/plain")
        if path == "/version":
            return self.answer(200, {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux",
                                     "Arch": "amd64"})
        if path == "/containers/json":
            return self.answer(200, list(containers(query)))
        match = re.fullmatch(r"/(container|image|volume|network)s/(.+?)(/json)?", path)
        found = document(match[1], urllib.parse.unquote(match[2])) if match else None
        if not found:
            return self.answer(404, {"message": f"No such {match[1]}: {match[2]}" if match else "page not found"})
        return self.answer(200, found)

    def log_message(self, *arguments):
        pass

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Server(sys.argv[1], Handler).serve_forever()
