# Asks 127.0.0.11 of this network namespace: "query NAME [tcp] [edns]" prints the addresses, "garbage" sends
# what is no query, "flood SECONDS" asks as fast as it can.
import socket
import struct
import sys
import time


def question(name, kind=1):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + b"\0" + struct.pack(">HH", kind, 1)


def receive(stream):
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
        part = stream.recv(65536)
        if not part:
            break
        data += part
    return data[2:]


def ask(name, tcp, edns=False):
    query = question(name)
    if edns:
        # One additional record: OPT of the root, 4,096 bytes.
        query = query[:11] + b"\1" + query[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\0"
    if tcp:
        with socket.create_connection(("127.0.0.11", 53), 5) as stream:
            stream.sendall(struct.pack(">H", len(query)) + query)
            return receive(stream)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect(("127.0.0.11", 53))
        udp.send(query)
        return udp.recv(4096)


def addresses(reply, query_len):
    count = struct.unpack(">H", reply[6:8])[0]
    return [".".join(map(str, reply[query_len + 16 * i + 12:query_len + 16 * i + 16])) for i in range(count)]


verb = sys.argv[1]
if verb == "query":
    reply = ask(sys.argv[2], "tcp" in sys.argv[3:], "edns" in sys.argv[3:])
    print("rcode", reply[3] & 15, "truncated", reply[2] >> 1 & 1, *sorted(set(addresses(reply, len(question(sys.argv[2]))))))
elif verb == "garbage":
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.11", 53))
    for size in range(0, 600, 7):
        udp.send(bytes(size % 256 for _ in range(size)))
        udp.send(question("web")[:size])
        udp.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c" * (size // 2))
    stream = socket.create_connection(("127.0.0.11", 53), 5)
    stream.sendall(b"\xff\xff" + b"x" * 100)
else:
    end = time.monotonic() + float(sys.argv[2])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.11", 53))
    query = question("web")
    while time.monotonic() < end:
        udp.send(query)
