#!/usr/bin/env python3
"""Writes a docker archive of two layers with everything that a layer can have, and some more.

Usage: layered-image.py OUTPUT.tar BUSYBOX [TAG [LAYER-COMPRESSION]]   (compression: none or gzip)
LAYERED_MANY in the environment is how many files one directory has, LAYERED_HOLE the bytes of a file that is one hole. The upper layer changes the lower one in every way that the image spec has words for.
"""
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import tarfile

MTIME = 1700000000.123456789
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, bits, who) for tag, bits, who in
    [(1, 7, 0xffffffff), (2, 4, 1234), (4, 5, 0xffffffff), (16, 5, 0xffffffff), (32, 0, 0xffffffff)])
CAPABILITY = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)


class Layer:
    def __init__(self):
        self.file = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, mtime=MTIME, xattrs=None, **more):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size = kind, mode, len(data)
        # A float has not room for nanoseconds.
        info.pax_headers = {"mtime": f"{int(mtime)}.{more.pop('ns', 123456789):09d}"}
        for key, value in (xattrs or {}).items():
            info.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        for key, value in more.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data))

    def directory(self, name, mode=0o755, **more):
        self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def sparse(self, name, size, regions):
        """GNU format 1.0: regions of (offset, data)."""
        text = f"{len(regions)}\n" + "".join(f"{at}\n{len(data)}\n" for at, data in regions)
        data = text.encode()
        data += bytes(-len(data) % 512) + b"".join(data for _, data in regions)
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                            "GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
        self.tar.addfile(info, io.BytesIO(data))

    def finish(self, unpadded=None):
        self.tar.close()
        data = self.file.getvalue()
        if unpadded:  # what follows this content up to the block's end becomes garbage
            at = data.index(unpadded) + len(unpadded)
            data = data[:at] + b"\xaa" * (-at % 512) + data[at + -at % 512:]
        return data


def lower(busybox):
    layer = Layer()
    layer.directory("./", mode=0o751, uid=7, gid=8)
    layer.directory("bin")
    with open(busybox, "rb") as file:
        layer.add("bin/busybox", data=file.read(), mode=0o4755)
    for name in ("sh", "cat", "sleep", "stat", "ls", "true", "touch", "find", "dd"):
        layer.add(f"bin/{name}", tarfile.SYMTYPE, linkname="busybox")
    layer.directory("d", mode=0o2775, uid=1000, gid=100)
    layer.directory("empty", mode=0o1777, mtime=-5)
    layer.add("d/empty", data=b"")
    layer.add("d/one", data=b"1")
    layer.add("d/block", data=b"b" * 512)
    layer.add("d/over", data=b"o" * 513, uid=4000000000, gid=4000000001, mtime=1, ns=999999999)
    layer.add("d/page", data=bytes(range(256)) * 41)
    layer.add("d/garbage-behind", data=b"only these bytes belong to it")
    layer.add("d/capable", data=b"x", mode=0o755,
              xattrs={"security.capability": CAPABILITY, "user.a": b"1", "user.b": b"two" * 300})
    layer.add("d/acl", data=b"y", mode=0o640, xattrs={"system.posix_acl_access": ACL})
    layer.directory("d/acl-default", xattrs={"system.posix_acl_default": ACL, "user.c": b""})
    layer.add("d/hard1", data=b"linked", uid=5)
    layer.add("d/hard2", tarfile.LNKTYPE, linkname="d/hard1")
    layer.add("hard3", tarfile.LNKTYPE, linkname="./d/hard1")
    layer.add("d/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    layer.add("d/disk", tarfile.BLKTYPE, devmajor=259, devminor=70000, mode=0o660, gid=6)
    layer.add("d/fifo", tarfile.FIFOTYPE, mode=0o600)
    layer.add("d/hard-null", tarfile.LNKTYPE, linkname="d/null")
    layer.add("d/short-link", tarfile.SYMTYPE, linkname="../gone", uid=3)
    layer.add("d/long-link", tarfile.SYMTYPE, linkname="x" * 4000)
    layer.add("d/" + "n" * 255, data=b"long name")
    layer.add("d/\udcff\udcfe", data=b"no text")
    for name in ("!", "+", "-", ".a", "..b", "...", "~"):
        layer.add("d/order/" + name, data=name.encode())
    layer.sparse("d/sparse", 3 << 20, [(4096, b"s" * 8192), (1 << 20, b"t" * 100)])
    layer.sparse("d/sparse-odd", 100001, [(5, b"abc"), (70000, b"d" * 1000), (99999, b"zz")])
    layer.sparse("d/all-hole", int(os.environ.get("LAYERED_HOLE", 1 << 33)), [])
    layer.directory("many")
    many = int(os.environ.get("LAYERED_MANY", "2500"))
    for i in range(many):
        layer.add(f"many/a-name-of-some-length-{i * 7919 % many}", data=b"%d" % i)
    for i in range(60):
        layer.directory("deep/" + "/".join(["down"] * i + ["x"]))
    layer.add("twice", data=b"first")
    layer.add("twice", data=b"second", mode=0o600)
    layer.directory("became-file")
    layer.add("became-file/inside", data=b"gone")
    layer.add("became-file", data=b"a file now")
    layer.add("became-dir", data=b"gone")
    layer.directory("became-dir", mode=0o700)
    layer.add("became-dir/inside", data=b"here")
    for name in ("hidden", "opaque/a", "opaque/b", "opaque/sub/c", "kept/below", "implied/below",
                 "replaced/dir/x", "both/x"):
        layer.add(name, data=name.encode())
    layer.directory("implied", mode=0o711, uid=11, gid=12, mtime=12345)
    layer.directory("implied/in", mode=0o710, uid=13)
    return layer.finish(unpadded=b"only these bytes belong to it")


def upper():
    layer = Layer()
    layer.add(".wh.hidden")
    layer.add("opaque/.wh..wh..opq")
    layer.add("opaque/new", data=b"the only one")
    layer.add("implied/in/new", data=b"its directories look as below")
    layer.directory("kept", mode=0o700)
    layer.add("kept/above", data=b"beside what is below")
    layer.add(".wh.replaced")
    layer.directory("replaced")
    layer.add("replaced/new", data=b"hides all below")
    layer.add("both/.wh.x")
    layer.add("both/x/y", data=b"in the place of a whiteout")
    layer.add("d/hard2", data=b"no link any more")
    layer.add("d/link-in-upper", tarfile.LNKTYPE, linkname="d/hard2")
    return layer.finish()


def main():
    output, busybox = sys.argv[1:3]
    tag = sys.argv[3] if len(sys.argv) > 3 else "layered:1"
    pack = sys.argv[4] if len(sys.argv) > 4 else "none"
    layers = [lower(busybox), upper()]
    ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                         "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    names = [f"{i}/layer.tar" for i in range(len(layers))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]).encode()
    if pack == "gzip":
        layers = [gzip.compress(data, 1, mtime=0) for data in layers]
    with tarfile.open(output, "w") as tar:
        for name, data in list(zip(names, layers)) + [("config.json", config),
                                                      ("manifest.json", manifest)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


main()
