#!/usr/bin/env python3
"""HTTP proxies: proxy.py LOG ADDRESS:PORT[:PASSWORD]...

For them every *.example is on this machine; one with a password is for "user" with that.
A request is a line of LOG: port, method, target. One for refused.example is refused (403), one for
lost.example cannot be answered (502).
"""
import asyncio
import base64
import sys

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def relay(reader, writer, target, first=b""):
    try:
        other_reader, other_writer = await asyncio.open_connection(*target)
    except OSError:
        writer.close()
        return
    other_writer.write(first)
    await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))


async def refuse(writer, status, *headers):
    lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    writer.close()


def proxy(port, secret, log):
    wanted = secret and "basic " + base64.b64encode(f"user:{secret}".encode()).decode()

    async def serve(reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, OSError):
            return writer.close()
        method, target = head.split(" ")[:2]
        print(port, method, target, file=log, flush=True)
        host, _, at = target.removeprefix("http://").split("/")[0].partition(":")
        given = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("proxy-authorization")]
        if wanted and [g.lower() for g in given] != [wanted.lower()]:
            return await refuse(writer, "407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="proxy"')
        if host == "refused.example":
            return await refuse(writer, "403 Forbidden")
        if host == "lost.example":
            return await refuse(writer, "502 Bad Gateway")
        place = ("127.0.0.1" if host.endswith(".example") else host, int(at or 80))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return await relay(reader, writer, place)
        await relay(reader, writer, place, head.encode())

    return serve


async def main():
    log = open(sys.argv[1], "a")
    for front in sys.argv[2:]:
        address, port, *secret = front.split(":")
        await asyncio.start_server(proxy(port, secret[0] if secret else None, log), address, int(port))
    print("ready", file=log, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
