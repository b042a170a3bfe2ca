# A name server at ADDRESS:53, UDP and TCP, for tests of what forwards to it: nx… does not exist, big…
# has 300 addresses and is truncated by UDP, everything else has the address 9.9.9.MARK.
import socket
import struct
import sys
import threading

address, mark = sys.argv[1], int(sys.argv[2])


def answer(query, tcp):
    at = 12
    while query[at]:
        at += query[at] + 1
    name, kind, end = query[13:at], struct.unpack(">H", query[at + 1:at + 3])[0], at + 5
    count = 300 if name.startswith(b"big") else 1
    flags, rcode = 0x8180, 3 if name.startswith(b"nx") else 0
    if rcode or kind != 1:
        count = 0
    if count > 1 and not tcp:
        flags, count = flags | 0x200, 0
    records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([9, 9, 9, mark]) for _ in range(count))
    return query[:2] + struct.pack(">HHHHH", flags | rcode, 1, count, 0, 0) + query[12:end] + records


def serve_udp(server):
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query, False), client)


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((address, 53))
threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
tcp = socket.create_server((address, 53))
print("ready", flush=True)
while True:
    client, _ = tcp.accept()
    with client:
        query = client.recv(4096)
        if len(query) > 14:
            reply = answer(query[2:], True)
            client.sendall(struct.pack(">H", len(reply)) + reply)
