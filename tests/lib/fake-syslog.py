#!/usr/bin/env python3
"""A syslog server that appends each message to a file as a JSON string.

Usage: fake-syslog.py udp|tcp|unixgram|unix ADDRESS FILE; ADDRESS is a port of 127.0.0.1 or a path.
"""

import json
import os
import socket
import sys


def main():
    scheme, address, path = sys.argv[1:]
    local = scheme.startswith("unix")
    stream = scheme in ("tcp", "unix")
    server = socket.socket(socket.AF_UNIX if local else socket.AF_INET,
                           socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    if not local:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if local and os.path.exists(address):
        os.unlink(address)
    server.bind(address if local else ("127.0.0.1", int(address)))
    if stream:
        server.listen()
    out = open(path, "a", buffering=1)  # its existence says that the server is there
    while True:
        if not stream:
            out.write(json.dumps(server.recv(65536).decode()) + "\n")
            continue
        connection = server.accept()[0]
        with connection.makefile(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                out.write(json.dumps(line) + "\n")


main()
