#!/usr/bin/env python3
"""Both ends of the connections that network.bats makes.

network-peer.py serve tcp|udp PORT [NAME]   answers each client "NAME <client's address>"
network-peer.py ask tcp|udp ADDRESS PORT    prints the answer; status 1 when refused, 2 on timeout
                ask tcp|udp ADDRESS PORT FROM   the same, from that port
network-peer.py echo PORT                   sends every datagram back; bounce ADDRESS PORT SIZE prints how much comes back
network-peer.py give PORT SIZE              sends so many bytes to each TCP client; take ADDRESS PORT prints how many come
network-peer.py pester ADDRESS PORT         asks by UDP every 0.1 s from one port until somebody answers; "sent" each time
"""
import select
import socket
import sys

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
TIMEOUT = 2.5  # a lost SYN is sent again after one second


def answer(name, peer):
    return f"{name} {peer[0].removeprefix('::ffff:')}\n".encode()


def serve(kind, port, name):
    server = socket.socket(socket.AF_INET6, KINDS[kind])
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    if kind == "tcp":
        server.listen(16)
    while True:
        select.select([server], [], [])
        if kind == "udp":
            _, peer = server.recvfrom(64)
            server.sendto(answer(name, peer), peer)
        else:
            connection, peer = server.accept()
            with connection:
                connection.sendall(answer(name, peer))


def ask(kind, address, port, source=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[kind]) as client:
        client.settimeout(TIMEOUT)
        if source:
            client.bind(("", source))
        try:
            client.connect((address, port))
            if kind == "udp":
                client.send(b"?")
            print(client.recv(64).decode().strip())
        except TimeoutError:
            return 2
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def pester(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        for _ in range(100):
            try:
                client.sendto(b"?", (address, port))
                print("sent", flush=True)
                print(client.recv(64).decode().strip())
                return 0
            except OSError:
                continue
    return 2


def echo(port):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    while True:
        data, peer = server.recvfrom(65535)
        server.sendto(data, peer)


def bounce(address, port, size):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        sent = bytes(i * 7 % 251 for i in range(size))
        client.sendto(sent, (address, port))
        try:
            came = client.recv(65535)
        except TimeoutError:
            return 2
        print(len(came) if came == sent else "damaged")
    return 0


def give(port, size):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(bytes(size))


def take(address, port):
    total = 0
    with socket.create_connection((address, port), timeout=TIMEOUT) as client:
        try:
            while data := client.recv(65536):
                total += len(data)
        except TimeoutError:
            pass
    print(total)
    return 0


def main():
    numbers = [int(word) for word in sys.argv[3:]] if sys.argv[1] in ("bounce", "take", "give") else []
    if sys.argv[1] == "echo":
        return echo(int(sys.argv[2]))
    if sys.argv[1] == "give":
        return give(int(sys.argv[2]), *numbers)
    if sys.argv[1] == "bounce":
        return bounce(sys.argv[2], *numbers)
    if sys.argv[1] == "take":
        return take(sys.argv[2], *numbers)
    if sys.argv[1] == "pester":
        return pester(sys.argv[2], int(sys.argv[3]))
    verb, kind, *rest = sys.argv[1:]
    if verb == "serve":
        serve(kind, int(rest[0]), rest[1] if len(rest) > 1 else "served")
    return ask(kind, rest[0], *[int(word) for word in rest[1:]])


if __name__ == "__main__":
    sys.exit(main())
