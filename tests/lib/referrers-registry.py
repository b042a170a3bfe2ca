#!/usr/bin/env python3
"""A registry with the referrers API in front of one without: GET .../referrers/<digest> is answered from the
referrers tag, an entry a page, and a PUT of a manifest with a subject is answered with OCI-Subject. The rest is
passed on. Usage: referrers-registry.py PORT BACKEND_PORT"""
import http.client
import http.server
import json
import sys

INDEX = "application/vnd.oci.image.index.v1+json"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def ask(self, method, path, body=None, headers=()):
        backend = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
        backend.request(method, path, body, dict(headers))
        answer = backend.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date"):
                self.send_header(name, value.replace(f":{sys.argv[2]}/", f":{sys.argv[1]}/"))
        size = dict((name.lower(), value) for name, value in headers).get("content-length")
        self.send_header("Content-Length", size if self.command == "HEAD" and size else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def referrers(self):
        path, _, page = self.path.partition("?page=")
        name, digest = path.split("/referrers/")
        _, _, text = self.ask("GET", f"{name}/manifests/{digest.replace(':', '-')}", headers={"Accept": INDEX}.items())
        index, page = json.loads(text), int(page or 0)
        headers = [("Content-Type", INDEX)]
        if page + 1 < len(index["manifests"]):
            headers.append(("Link", f'<{path}?page={page + 1}>; rel="next"'))
        index["manifests"] = index["manifests"][page:page + 1]
        self.reply(200, headers, json.dumps(index).encode())

    def handle_any(self):
        if "/referrers/" in self.path:
            return self.referrers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = [(k, v) for k, v in self.headers.items() if k.lower() != "host"] + [("Host", f"127.0.0.1:{sys.argv[2]}")]
        status, answer, text = self.ask(self.command, self.path, body, headers)
        if self.command == "PUT" and "/manifests/" in self.path and b'"subject"' in body:
            answer.append(("OCI-Subject", json.loads(body)["subject"]["digest"]))
        self.reply(status, answer, text)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
