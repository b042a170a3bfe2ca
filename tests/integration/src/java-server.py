#!/usr/bin/python3
"""Writes Server.class, for tests on machines that have Java but no compiler (JVM specification, chapter 4):

public class Server {
    public static void main(String[] arguments) throws Exception {
        com.sun.net.httpserver.HttpServer.create(new java.net.InetSocketAddress(80), 0).start();
    }
}

Usage: java-server.py FILE
"""
import struct
import sys

pool = []


def constant(tag, data):
    entry = bytes([tag]) + data
    if entry not in pool:
        pool.append(entry)
    return struct.pack(">H", pool.index(entry) + 1)


def text(value):
    return constant(1, struct.pack(">H", len(value)) + value.encode())


def class_named(name):
    return constant(7, text(name))


def method(owner, name, descriptor):
    return constant(10, class_named(owner) + constant(12, text(name) + text(descriptor)))


SERVER, ADDRESS = "com/sun/net/httpserver/HttpServer", "java/net/InetSocketAddress"
code = b"".join([
    b"\xbb", class_named(ADDRESS),                                                   # new
    b"\x59\x10\x50",                                                                 # dup, bipush 80
    b"\xb7", method(ADDRESS, "<init>", "(I)V"),                                      # invokespecial
    b"\x03",                                                                         # iconst_0
    b"\xb8", method(SERVER, "create", f"(L{ADDRESS};I)L{SERVER};"),                  # invokestatic
    b"\xb6", method(SERVER, "start", "()V"),                                         # invokevirtual
    b"\xb1",                                                                         # return
])
PUBLIC_STATIC, PUBLIC_SUPER = b"\0\x09", b"\0\x21"
attribute = struct.pack(">HHI", 3, 1, len(code)) + code + struct.pack(">HH", 0, 0)
main = PUBLIC_STATIC + text("main") + text("([Ljava/lang/String;)V") + b"\0\1" + text("Code")
main += struct.pack(">I", len(attribute)) + attribute
this = PUBLIC_SUPER + class_named("Server") + class_named("java/lang/Object")
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack(">IHHH", 0xCAFEBABE, 0, 52, len(pool) + 1) + b"".join(pool) + this)
    file.write(struct.pack(">HHH", 0, 0, 1) + main + struct.pack(">H", 0))
