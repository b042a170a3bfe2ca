#!/usr/bin/env python3
"""Receives messages of journald's native protocol and writes each as a line of JSON.

Usage: fake-journald.py SOCKET OUTPUT   Ends when it is killed. Values that are no UTF-8 are shown with
replacement characters; "_MEMFD" says that the message came as a sealed file.
"""
import array
import fcntl
import json
import os
import socket
import struct
import sys


def fields(data):
    result = {}
    while data:
        name, _, data = data.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
        else:
            size = struct.unpack_from("<Q", data)[0]
            value, data = data[8:8 + size], data[8 + size + 1:]
        result[name.decode()] = value.decode(errors="replace")
    return result


def main():
    os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(sys.argv[1])
    with open(sys.argv[2], "w", buffering=1) as out:
        while True:
            data, control, _, _ = server.recvmsg(1 << 20, 64)
            extra = {}
            for _, _, passed in control:
                fd = array.array("i", passed)[0]
                assert not data
                assert fcntl.fcntl(fd, 1034) & 8  # F_GET_SEALS, F_SEAL_WRITE
                data = os.pread(fd, os.fstat(fd).st_size, 0)
                os.close(fd)
                extra = {"_MEMFD": "yes"}
            out.write(json.dumps({**fields(data), **extra}) + "\n")


main()
