#!/usr/bin/env python3
"""Lists of tags in pages, good and bad, and a search index: list-registry.py PORT REAL-REGISTRY LOG

Everything but the lists is redirected to REAL-REGISTRY (a base URL). Requests are lines of LOG.
"""

import http.server
import json
import sys
import urllib.parse

IMAGES = [
    {"name": "busybox", "description": "Busybox base image.", "star_count": 3100, "is_official": True},
    {"name": "radial/busyboxplus", "description": "Full-chain, Internet enabled, busybox made from scratch. Comes in git",
     "star_count": 57, "is_automated": True},
    {"name": "evil/box", "description": "two\nlines\tand \x1b[31mcolour\u202e", "star_count": 1},
]


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        print(self.path, file=self.server.log, flush=True)
        path, _, text = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(text))
        parts = path.split("/")
        if path == "/v1/search":
            return self.answer(200, {"num_results": len(IMAGES), "query": query["q"],
                                     "results": IMAGES[: int(query["n"])]})
        if parts[-2:] == ["tags", "list"]:
            return self.tags(parts[2], path, query)
        self.send_response(307)
        self.send_header("Location", self.server.real + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def tags(self, name, path, query):
        if name == "bad":
            return self.answer(200, {"tags": ["../../etc"]})
        if name == "none":
            return self.answer(200, {"tags": 7})
        if name == "elsewhere":
            return self.answer(200, {"tags": ["a"]}, [("Link", '<http://127.0.0.2:1/v2/x/tags/list>; rel="next"')])
        if name == "other":
            return self.answer(200, {"tags": ["a"]}, [("Link", '</v2/secret/tags/list>; rel="next"')])
        if name == "loop":
            return self.answer(200, {"tags": [] if query else ["a"]}, [("Link", f'<{path}?last=a>; rel="next"')])
        tags = ["a", "b", "c", "d", "e"]
        rest = [t for t in tags if t > query.get("last", "")]
        base = f"http://{self.headers['Host']}" if query.get("last") == "b" else ""
        link = [("Link", f'<{base}{path}?n=2&last={rest[1]}>; rel="next"')] if len(rest) > 2 else []
        self.answer(200, {"name": name, "tags": rest[:2]}, link)

    do_HEAD = do_GET


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry)
    server.real, server.log = sys.argv[2], open(sys.argv[3], "a")
    server.serve_forever()


if __name__ == "__main__":
    main()
