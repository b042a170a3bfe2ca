#!/usr/bin/env python3
"""The two ends of connections for network-sockmap.bats.

sockmap-peer.py serve PORT             for ever; what a connection asks for with its first line:
    echo             gives everything back until the end, and then ends
    hash N           reads to the end, answers with "HASH WAY", sends N bytes more and ends
    give N           sends N bytes and ends, reading nothing
    idle             reads nothing until there is a file "go" where it runs, then does as "hash 0"
    close            ends at once
sockmap-peer.py ask ADDRESS PORT WHAT  one of the functions below; prints what came of it
Both ends wait by poll(2), as most programs do: what differs for others is in limits().
WAY is "short" where TCP itself carried nothing of what was received, "tcp" where it was all, or "both".
"""
import hashlib
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

SIZE = 12_000_000


def carried(sock):
    """What TCP has received and what was acknowledged to it."""
    acked, received = struct.unpack_from("QQ", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 120)
    return received, acked


def way(sock, received, before=0):
    by_tcp = carried(sock)[0] - before
    # The end of a direction counts as one.
    return "short" if by_tcp <= 1 else "tcp" if by_tcp >= received else "both"


def read_all(sock, pause=0.0):
    digest, count = hashlib.sha256(), 0
    while data := sock.recv(random.randint(1, 200_000)):
        digest.update(data)
        count += len(data)
        if pause and random.random() < 0.05:
            time.sleep(pause)
    return digest.hexdigest(), count


def pattern(size):
    return random.Random(size).randbytes(size)


def send_in_pieces(sock, data):
    """What there is room for and what there is not, and pauses in which the reader gets to the end."""
    at, large = 0, False
    while at < len(data):
        if random.random() < 0.03:
            large = not large
            time.sleep(0.005)
        piece = random.choice((5000, 65536, 300_000) if large else (1, 7, 100, 1460, 20_000))
        sock.sendall(data[at : at + piece])
        at += piece


def line(sock):
    text = b""
    while not text.endswith(b"\n"):
        text += sock.recv(1)
    return text.decode().split()


def answer(sock):
    verb, *words = line(sock)
    before = carried(sock)[0]
    if verb == "echo":
        while data := sock.recv(65536):
            sock.sendall(data)
    elif verb in ("hash", "idle"):
        while verb == "idle" and not os.path.exists("go"):
            time.sleep(0.01)
        digest, count = read_all(sock, 0.002)
        sock.sendall(f"{digest} {way(sock, count, before)}\n".encode())
        send_in_pieces(sock, pattern(int(words[0])) if words else b"")
    elif verb == "give":
        sock.sendall(pattern(int(words[0])))
    sock.close()


def serve(port):
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=500)
    while True:
        sock, _ = listener.accept()
        sock.settimeout(60)
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


def transfer(connect):
    """Both ways, with one direction ended long before the other."""
    sock = connect("hash %d" % SIZE)
    data = pattern(SIZE + 1)
    send_in_pieces(sock, data)
    sock.shutdown(socket.SHUT_WR)
    digest, there = line(sock)
    before = carried(sock)[0]
    back, count = read_all(sock, 0.002)
    same = digest == hashlib.sha256(data).hexdigest() and back == hashlib.sha256(pattern(SIZE)).hexdigest()
    return f"{'same' if same else 'DIFFERENT'} {there} {way(sock, count, before)}"


def requests(connect):
    """Requests and answers, none larger than what there is always room for."""
    sock = connect("echo")
    sent = 0
    for number in range(2000):
        data = b"%d" % number * random.randint(1, 300)
        sock.sendall(data)
        sent += len(data)
        got = b""
        while len(got) < len(data):
            got += sock.recv(65536)
        if got != data:
            return f"DIFFERENT at {number}"
    sock.shutdown(socket.SHUT_WR)
    return f"same {way(sock, sent)}" if sock.recv(1) == b"" else "MORE"


def full(connect):
    """How much somebody who reads nothing is sent."""
    sock = connect("idle")
    sock.setblocking(False)
    sent = 0
    data = pattern(65536)
    digest = hashlib.sha256()
    deadline = time.monotonic() + 1
    while sent < 100_000_000 and time.monotonic() < deadline:
        try:
            count = sock.send(data)
            digest.update(data[:count])
            sent += count
            deadline = time.monotonic() + 1
        except BlockingIOError:
            time.sleep(0.01)
    print("bounded" if sent < 50_000_000 else f"UNBOUNDED {sent}", flush=True)
    open("full", "w").close()
    sock.settimeout(60)
    sock.shutdown(socket.SHUT_WR)
    return "same" if line(sock)[0] == digest.hexdigest() else "DIFFERENT"


def many(connect):
    """Connections that are there at once, each of which sends before anybody accepts it."""
    socks = [connect("echo") for _ in range(300)]
    for number, sock in enumerate(socks):
        sock.sendall(b"%d" % number)
        sock.shutdown(socket.SHUT_WR)
    return sum(read_all(sock)[0] == hashlib.sha256(b"%d" % number).hexdigest() for number, sock in enumerate(socks))


def ends(connect):
    """What a program is told of ends is what TCP tells it."""
    told = []
    sock = connect("echo")
    sock.sendall(b"x")
    told.append(sock.recv(2) == b"x")
    sock.shutdown(socket.SHUT_WR)
    told.append(sock.recv(1) == b"")
    try:
        sock.send(b"y")
    except BrokenPipeError:
        told.append(True)
    sock = connect("close")
    told.append(sock.recv(1) == b"")
    try:
        while True:
            sock.send(b"y")
            time.sleep(0.01)
    except (BrokenPipeError, ConnectionResetError):
        told.append(True)
    sock = connect("idle")
    sock.settimeout(0.1)
    try:
        sock.recv(1)
    except TimeoutError:
        told.append(True)
    return " ".join(str(told_it).lower() for told_it in told)


def kept(connect):
    """What was sent before the server's container ended is read after that."""
    sock = connect("give 50000")
    open("given", "w").close()
    while not os.path.exists("gone"):
        time.sleep(0.01)
    digest, count = read_all(sock)
    same = digest == hashlib.sha256(pattern(50000)).hexdigest()
    return f"{'same' if same else 'DIFFERENT'} {way(sock, count)}"


def lasting(connect):
    """A connection that is used before and after something happens to the containers."""
    sock = connect("echo")
    sock.sendall(b"before")
    told = sock.recv(100)
    open("begun", "w").close()
    while not os.path.exists("gone"):
        time.sleep(0.01)
    sock.sendall(b"after")
    return (told + sock.recv(100)).decode()


def limits(connect):
    """What is not as with TCP (docs/sockmap.md)."""
    told = []
    sock = connect("give 100")
    time.sleep(0.2)
    reader, writer = os.pipe()
    sock.setblocking(False)
    try:
        told.append("splice %d" % os.splice(sock.fileno(), writer, 100))
    except BlockingIOError:
        told.append("splice 0")
    told.append("recv %d" % len(sock.recv(1000)))
    sock = connect("echo")
    sock.settimeout(None)
    sock.sendall(b"some")
    time.sleep(0.2)
    told.append("waitall %d" % len(sock.recv(8, socket.MSG_WAITALL)))
    sock.send(b"a", socket.MSG_OOB)
    time.sleep(0.2)
    told.append("urgent %s" % sock.recv(10).decode())
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        told.append("signal %d" % len(sock.recv(10)))
    except BlockingIOError:
        told.append("signal EAGAIN")
    return ", ".join(told)


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])

    def connect(wish):
        sock = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=60)
        sock.sendall(wish.encode() + b"\n")
        return sock

    print(globals()[sys.argv[4]](connect))


main()
