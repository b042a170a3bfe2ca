#!/usr/bin/env python3
"""The BPF programs of network interfaces, by bpf(2): Debian 12's tools do not know tcx.

tcx.py list             "INTERFACE in|out PROGRAM" for each program of this network namespace
tcx.py detach PROGRAM   takes it from every interface
"""
import ctypes
import os
import socket
import struct
import sys

ATTACH, DETACH, BY_ID, INFO, QUERY = 8, 9, 13, 15, 16
SIDES = {"in": 46, "out": 47}
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, data):
    attributes = ctypes.create_string_buffer(data.ljust(128, b"\0"), 128)
    result = libc.syscall(SYS_BPF, command, attributes, 128)
    return result, attributes.raw


def programs(index, side):
    ids = (ctypes.c_uint32 * 64)()
    request = struct.pack("IIIIQI", index, side, 0, 0, ctypes.addressof(ids), 64)
    result, answer = bpf(QUERY, request)
    count = struct.unpack_from("I", answer, 24)[0] if result == 0 else 0
    for number in ids[:count]:
        fd, _ = bpf(BY_ID, struct.pack("I", number))
        if fd < 0:
            continue
        info = ctypes.create_string_buffer(256)
        bpf(INFO, struct.pack("IIQ", fd, 256, ctypes.addressof(info)))
        yield fd, info.raw[64:80].split(b"\0")[0].decode()
        os.close(fd)


for index, name in socket.if_nameindex():
    for side, number in SIDES.items():
        for fd, program in programs(index, number):
            if sys.argv[1] == "list":
                print(name, side, program)
            elif program == sys.argv[2]:
                bpf(DETACH, struct.pack("III", index, fd, number))
