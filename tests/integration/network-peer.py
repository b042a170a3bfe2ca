#!/usr/bin/env python3
"""Both ends of the connections that network.bats makes.

network-peer.py serve tcp|udp PORT [NAME]   answers each client "NAME <client's address>"
network-peer.py ask tcp|udp ADDRESS PORT    prints the answer; status 1 when refused, 2 on timeout
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


def ask(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[kind]) as client:
        client.settimeout(TIMEOUT)
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


def main():
    if sys.argv[1] == "pester":
        return pester(sys.argv[2], int(sys.argv[3]))
    verb, kind, *rest = sys.argv[1:]
    if verb == "serve":
        serve(kind, int(rest[0]), rest[1] if len(rest) > 1 else "served")
    return ask(kind, rest[0], int(rest[1]))


if __name__ == "__main__":
    sys.exit(main())
