#!/usr/bin/python3
"""Attaches a program that allows everything to a control group's connect4 so that groups below cannot have
one (bpf(2): BPF_PROG_ATTACH without flags). It goes with the group. Usage: bpf-exclusive.py GROUP"""
import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
BPF, PROG_LOAD, PROG_ATTACH = 321, 5, 8  # of x86-64
CGROUP_SOCK_ADDR, INET4_CONNECT = 18, 10


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(BPF, command, buffer, 128)
    if result < 0:
        sys.exit("bpf: " + os.strerror(ctypes.get_errno()))
    return result


code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 1, 0x95, 0, 0, 0), 16)
license = ctypes.create_string_buffer(b"GPL")
program = bpf(PROG_LOAD, struct.pack("<IIQQIIQII16sII", CGROUP_SOCK_ADDR, 2, ctypes.addressof(code),
                                     ctypes.addressof(license), 0, 0, 0, 0, 0, b"allow", 0, INET4_CONNECT))
group = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
bpf(PROG_ATTACH, struct.pack("<IIII", group, program, INET4_CONNECT, 0))
