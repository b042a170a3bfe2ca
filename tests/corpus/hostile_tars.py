#!/usr/bin/env python3
"""Archives that try to leave their layer, confuse the reader or eat the machine.

Every case is a name, the bytes of an archive and what must happen: it is refused, or it is
imported and the layer holds exactly what is listed. Headers are made by hand, because tarfile
refuses to write most of these.
"""
import bz2
import gzip
import lzma
import struct
import subprocess

BLOCK = 512
END = bytes(2 * BLOCK)


def octal(value, size):
    return b"%0*o\0" % (size - 1, value)


def binary(value, size):
    """GNU's base-256 number."""
    raw = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "big")
    return bytes([raw[0] | 0x80]) + raw[1:]


def field(value, size):
    return value if isinstance(value, bytes) else octal(value, size)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=1700000000, link=b"",
           major=0, minor=0, magic=b"ustar\0" b"00", prefix=b"", checksum=None, tail=None):
    block = name[:100].ljust(100, b"\0")
    block += field(mode, 8) + field(uid, 8) + field(gid, 8)
    block += field(size, 12) + field(mtime, 12)
    block += b" " * 8 + kind + link[:100].ljust(100, b"\0") + magic
    block += b"root\0".ljust(32, b"\0") * 2 + field(major, 8) + field(minor, 8)
    block += prefix.ljust(155, b"\0")
    block = (block if tail is None else block[:345] + tail).ljust(BLOCK, b"\0")[:BLOCK]
    total = sum(block) if checksum is None else checksum
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def entry(name, data=b"", **options):
    options.setdefault("size", len(data))
    return header(name, **options) + padded(data)


def directory(name, mode=0o755, **options):
    return entry(name, kind=b"5", mode=mode, **options)


def symlink(name, target):
    return entry(name, kind=b"2", link=target, mode=0o777)


def hardlink(name, target):
    return entry(name, kind=b"1", link=target)


def records(pairs):
    out = b""
    for key, value in pairs:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        out += str(length).encode() + body
    return out


def pax(*pairs, kind=b"x"):
    return entry(b"PaxHeaders/x", records(pairs), kind=kind)


def raw_pax(data):
    return entry(b"PaxHeaders/x", data, kind=b"x")


CASES = []


def refuse(name, data):
    CASES.append((name, data, None))


def accept(name, data, tree):
    """tree: {path: check}, see check_entry() of run_hostile.py."""
    CASES.append((name, data, tree))


def slug(value):
    return value.decode("utf-8", "replace").replace("/", "%").replace("\0", "0")[:40]


def kinds(name):
    """The same name as every type of entry."""
    yield "file", entry(name, b"evil")
    yield "dir", directory(name)
    yield "symlink", symlink(name, b"target")
    yield "hardlink", hardlink(name, b"seed")
    yield "fifo", entry(name, kind=b"6")
    yield "char", entry(name, kind=b"3", major=1, minor=3)


def names_that_leave(canary):
    seed = entry(b"seed", b"seed")
    for name in (b"../x", b"a/../../x", b"a/b/../../../x", b"..", b"../", b"./../x", b"/..",
                 b"/../x", b"a/..", b"..//x", b"/".join([b".."] * 30) + canary + b"/f"):
        for kind, data in kinds(name):
            refuse(f"leave-{kind}-{slug(name)}", seed + data + END)
    for kind, data in kinds(canary + b"/file"):
        inside = (canary + b"/file").decode().lstrip("/")
        accept(f"absolute-{kind}", seed + data + END, {"seed": "f", inside: "*"})
    for kind, data in kinds(b"//.///abs//./x"):
        accept(f"unclean-{kind}", seed + data + END, {"seed": "f", "abs": "d", "abs/x": "*"})
    for name in (b"...", b"..a", b"a../b", b".../x", b" ", b"-rf", b"a\nb", b"\xff\xfe", b"*"):
        accept(f"odd-{slug(name)}", entry(name, b"1") + END, {"__any__": 1})


def through_symlinks(canary):
    children = {
        "file": entry(b"l/file", b"evil"),
        "dir": directory(b"l/dir"),
        "symlink": symlink(b"l/sym", b"x"),
        "hardlink": entry(b"seed", b"s") + hardlink(b"l/hard", b"seed"),
        "fifo": entry(b"l/fifo", kind=b"6"),
        "whiteout": entry(b"l/.wh.file"),
        "opaque": entry(b"l/.wh..wh..opq"),
    }
    targets = {
        "canary": canary, "up": b"../../../../../..", "dot": b".", "root": b"/", "self": b"l",
        "proc": b"/proc/self/root", "missing": b"nowhere", "dir": b"real",
    }
    for target_name, target in targets.items():
        for child_name, child in children.items():
            refuse(f"through-{target_name}-{child_name}",
                   directory(b"real") + symlink(b"l", target) + child + END)
    refuse("through-chain", symlink(b"a", b"b") + symlink(b"b", b"c") + symlink(b"c", canary)
           + entry(b"a/f", b"evil") + END)
    refuse("through-loop", symlink(b"a", b"b") + symlink(b"b", b"a") + entry(b"a/f", b"x") + END)
    refuse("dir-becomes-link", directory(b"d") + entry(b"d/a", b"1") + symlink(b"d", canary)
           + entry(b"d/file", b"evil") + END)
    accept("link-becomes-dir", symlink(b"d", canary) + directory(b"d") + entry(b"d/file", b"in")
           + END, {"d": "d", "d/file": ("f", b"in")})
    accept("file-over-link", symlink(b"d", canary + b"/file") + entry(b"d", b"new") + END,
           {"d": ("f", b"new")})
    accept("chmod-over-link", symlink(b"d", canary) + symlink(b"d", b"x") + END, {"d": ("l", "x")})


def hardlinks(canary):
    refuse("hard-absolute", hardlink(b"h", canary + b"/file") + END)
    refuse("hard-up", hardlink(b"h", b"/".join([b".."] * 30) + canary + b"/file") + END)
    refuse("hard-missing", hardlink(b"h", b"nothing") + END)
    refuse("hard-empty", hardlink(b"h", b"") + END)
    refuse("hard-root", hardlink(b"h", b"/") + END)
    refuse("hard-dir", directory(b"d") + hardlink(b"h", b"d") + END)
    refuse("hard-through-link", symlink(b"l", canary) + hardlink(b"h", b"l/file") + END)
    refuse("hard-forward", hardlink(b"h", b"later") + entry(b"later", b"1") + END)
    accept("hard-to-link", symlink(b"l", canary) + hardlink(b"h", b"l") + END,
           {"l": "l", "h": ("l", canary.decode())})
    accept("hard-good", entry(b"a", b"same") + hardlink(b"b", b"a") + hardlink(b"c", b"./b") + END,
           {"a": ("f", b"same"), "b": ("f", b"same"), "c": ("f", b"same")})
    accept("hard-self", entry(b"a", b"same") + hardlink(b"a", b"a") + END, {"a": ("f", b"same")})
    accept("hard-replaces", entry(b"a", b"1") + entry(b"b", b"2") + hardlink(b"b", b"a") + END,
           {"a": ("f", b"1"), "b": ("f", b"1")})
    accept("hard-with-size", entry(b"a", b"1") + header(b"b", kind=b"1", size=999, link=b"a") + END,
           {"a": ("f", b"1"), "b": ("f", b"1")})
    # Writing a link's name again must not write into the file it shares.
    accept("hard-then-file", entry(b"a", b"old") + hardlink(b"b", b"a") + entry(b"b", b"new") + END,
           {"a": ("f", b"old"), "b": ("f", b"new")})


def whiteouts():
    for where in (b"", b"d/", b"./d/e/"):
        for name in (b".wh.", b".wh..", b".wh..."):
            refuse(f"whiteout-{slug(where + name)}", directory(b"d") + entry(where + name) + END)
    accept("whiteout-good", entry(b"d/.wh.gone") + END, {"d": "d", "d/gone": "w"})
    accept("whiteout-root", entry(b".wh.gone") + END, {"gone": "w"})
    accept("whiteout-dots", entry(b".wh....") + END, {"...": "w"})
    accept("whiteout-twice", entry(b".wh.a") + entry(b".wh.a") + END, {"a": "w"})
    accept("whiteout-then-file", entry(b".wh.a") + entry(b"a", b"1") + END, {"a": ("f", b"1")})
    accept("file-then-whiteout", entry(b"a", b"1") + entry(b".wh.a") + END, {"a": ("f", b"1")})
    accept("whiteout-then-dir", entry(b".wh.a") + directory(b"a") + END, {"a": "o"})
    accept("whiteout-then-child", entry(b".wh.a") + entry(b"a/b", b"1") + END,
           {"a": "o", "a/b": ("f", b"1")})
    accept("dir-then-whiteout", directory(b"a") + entry(b"a/b", b"1") + entry(b".wh.a") + END,
           {"a": "o", "a/b": ("f", b"1")})
    accept("opaque", directory(b"a") + entry(b"a/.wh..wh..opq") + END, {"a": "o"})
    accept("opaque-alone", entry(b"a/b/.wh..wh..opq") + END, {"a": "d", "a/b": "o"})
    accept("opaque-root-lowest", entry(b".wh..wh..opq") + entry(b"f", b"1") + END,
           {"f": ("f", b"1")})
    accept("aufs", entry(b".wh..wh.plnk/1.2", b"x") + entry(b".wh..wh.aufs") + entry(b"f") + END,
           {"f": "f"})
    refuse("opaque-through-link", symlink(b"l", b"/") + entry(b"l/.wh..wh..opq") + END)
    refuse("opaque-on-file", entry(b"f", b"1") + entry(b"f/.wh..wh..opq") + END)
    refuse("whiteout-below-file", entry(b"f", b"1") + entry(b"f/.wh.x") + END)


def numbers():
    for name, size in (("negative", binary(-1, 12)), ("huge", binary(1 << 70, 12)),
                       ("max", binary((1 << 63) - 1, 12)), ("junk", b"12345x78901\0"),
                       ("text", b"hello world\0"), ("eight", b"00000000008\0"),
                       ("minus", b"-0000000001\0"), ("tib", binary(1 << 44, 12))):
        refuse(f"size-{name}", header(b"f", size=size) + padded(b"x") + END)
    for key in ("uid", "gid"):
        for name, value in (("minus1", binary(-1, 8)), ("2e32-1", binary((1 << 32) - 1, 8)),
                            ("2e32", binary(1 << 32, 8)), ("2e62", binary(1 << 62, 8)),
                            ("junk", b"xxxxxxx\0")):
            refuse(f"{key}-{name}", entry(b"f", b"1", **{key: value}) + END)
        accept(f"{key}-2e31", entry(b"f", b"1", **{key: binary(1 << 31, 8)}) + END,
               {"f": (key, 1 << 31)})
        accept(f"{key}-max", entry(b"f", b"1", **{key: binary((1 << 32) - 2, 8)}) + END,
               {"f": (key, (1 << 32) - 2)})
        for value in (b"-1", b"4294967295", b"4294967296", b"1.5", b"0x10", b"99999999999999999999"):
            refuse(f"pax-{key}-{slug(value)}", pax((key.encode(), value)) + entry(b"f", b"1") + END)
    refuse("mode-junk", entry(b"f", b"1", mode=b"0o644  \0") + END)
    refuse("mtime-junk", entry(b"f", b"1", mtime=b"yesterday..\0") + END)
    accept("mtime-before-1970", entry(b"f", b"1", mtime=binary(-100, 12)) + END,
           {"f": ("mtime", -100 * 10**9)})
    accept("mtime-nanoseconds", pax((b"mtime", b"1700000000.123456789")) + entry(b"f", b"1") + END,
           {"f": ("mtime", 1700000000123456789)})
    for value in (b"never", b"1.2.3", b"", b"1e9", b"99999999999999999999999"):
        if value:
            refuse(f"pax-mtime-{slug(value)}", pax((b"mtime", value)) + entry(b"f", b"1") + END)
    for value in (b"-1", b"18446744073709551616", b"1x", b" 1"):
        refuse(f"pax-size-{slug(value)}", pax((b"size", value)) + entry(b"f", b"1") + END)
    refuse("device-major", entry(b"c", kind=b"3", major=binary(1 << 20, 8)) + END)
    refuse("device-minor", entry(b"c", kind=b"4", minor=binary(1 << 30, 8)) + END)
    refuse("device-negative", entry(b"c", kind=b"3", major=binary(-1, 8)) + END)
    accept("setuid", entry(b"su", b"1", mode=0o6755, uid=7, gid=8) + END,
           {"su": ("mode", 0o6755)})
    accept("sticky-dir", directory(b"tmp", mode=0o1777) + END, {"tmp": ("mode", 0o1777)})
    accept("huge-mode", entry(b"f", b"1", mode=0o777777) + END, {"f": ("mode", 0o7777)})


def roots():
    for name in (b".", b"./", b"/", b"//", b"./."):
        accept(f"root-dir-{slug(name)}", directory(name, mode=0o751) + END, {"": ("mode", 0o751)})
        for kind, data in kinds(name):
            if kind != "dir" and not (kind == "file" and name.endswith(b"/")):
                refuse(f"root-{kind}-{slug(name)}", entry(b"seed", b"1") + data + END)
    refuse("root-empty-name", entry(b"", b"x") + END)


def duplicates():
    accept("dup-file", entry(b"f", b"first") + entry(b"f", b"2") + END, {"f": ("f", b"2")})
    accept("dup-clean", entry(b"f", b"first") + entry(b"./f", b"2") + END, {"f": ("f", b"2")})
    accept("dup-dir-file", directory(b"d") + entry(b"d/x", b"1") + entry(b"d", b"f") + END,
           {"d": ("f", b"f")})
    accept("dup-file-dir", entry(b"d", b"f") + directory(b"d") + entry(b"d/x", b"1") + END,
           {"d": "d", "d/x": ("f", b"1")})
    accept("dup-dir-dir", directory(b"d") + entry(b"d/x", b"1") + directory(b"d", mode=0o700) + END,
           {"d": ("mode", 0o700), "d/x": ("f", b"1")})
    accept("dup-fifo-file", entry(b"d", kind=b"6") + entry(b"d", b"1") + END, {"d": ("f", b"1")})
    accept("dup-device-file", entry(b"d", kind=b"3", major=1, minor=3) + entry(b"d", b"1") + END,
           {"d": ("f", b"1")})
    accept("dup-many", b"".join(entry(b"f", b"%d" % i) for i in range(200)) + END,
           {"f": ("f", b"199")})
    refuse("file-as-parent", entry(b"f", b"1") + entry(b"f/x", b"2") + END)
    refuse("fifo-as-parent", entry(b"f", kind=b"6") + entry(b"f/x", b"2") + END)


def long_names():
    path = b"/".join([b"d" * 200] * 19)
    accept("path-3800", pax((b"path", path)) + entry(b"x", b"1") + END, {path.decode(): "f",
           "__any__": 1})
    for name, value in (("5000", b"n" * 5000), ("component-256", b"n" * 256),
                        ("5000-in-parts", b"/".join([b"n" * 99] * 50)),
                        ("deep-3000", b"/".join([b"d"] * 3000)),
                        ("deep-1000", b"/".join([b"d"] * 1000))):
        refuse(f"path-{name}", pax((b"path", value)) + entry(b"x", b"1") + END)
        refuse(f"gnu-path-{name}", entry(b"././@LongLink", value + b"\0", kind=b"L")
               + entry(b"x", b"1") + END)
    accept("deep-400", pax((b"path", b"/".join([b"d"] * 400))) + entry(b"x", b"1") + END,
           {"__any__": 1})
    refuse("link-5000", pax((b"linkpath", b"l" * 5000)) + symlink(b"x", b"y") + END)
    accept("link-4000", pax((b"linkpath", b"l" * 4000)) + symlink(b"x", b"y") + END, {"x": "l"})
    refuse("link-empty", symlink(b"x", b"") + END)
    accept("gnu-name", entry(b"././@LongLink", b"long" * 40 + b"\0", kind=b"L")
           + entry(b"x", b"1") + END, {"long" * 40: ("f", b"1")})
    accept("gnu-link", entry(b"././@LongLink", b"to" * 80 + b"\0", kind=b"K")
           + symlink(b"x", b"y") + END, {"x": ("l", "to" * 80)})
    accept("ustar-prefix", entry(b"name", b"1", prefix=b"some/prefix") + END,
           {"some": "d", "some/prefix": "d", "some/prefix/name": ("f", b"1")})
    refuse("gnu-name-huge", header(b"././@LongLink", kind=b"L", size=2 << 20) + bytes(2 << 20)
           + entry(b"x") + END)
    refuse("gnu-name-cut", header(b"././@LongLink", kind=b"L", size=1000) + b"abc")
    refuse("gnu-name-alone", entry(b"././@LongLink", b"x\0", kind=b"L") + END)
    refuse("gnu-name-empty", entry(b"././@LongLink", b"", kind=b"L") + entry(b"x", b"1") + END)
    refuse("extensions-forever", pax((b"comment", b"x")) * 100 + entry(b"x") + END)


def devices():
    accept("char", entry(b"null", kind=b"3", major=1, minor=3, mode=0o666) + END,
           {"null": ("c", (1, 3))})
    accept("block", entry(b"sda", kind=b"4", major=8, minor=0) + END, {"sda": ("b", (8, 0))})
    accept("fifo", entry(b"pipe", kind=b"6", mode=0o600) + END, {"pipe": "p"})
    accept("fifo-passwd", directory(b"etc") + entry(b"etc/passwd", kind=b"6") + END,
           {"etc": "d", "etc/passwd": "p"})


def xattrs():
    def with_xattr(name, value):
        return pax((b"SCHILY.xattr." + name, value)) + entry(b"f", b"1") + END

    good = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)
    good3 = struct.pack("<IIIIII", 0x03000001, 0x400, 0, 0, 0, 0)
    cap = b"security.capability"
    accept("cap-v2", with_xattr(cap, good), {"f": ("xattrs", ["security.capability"])})
    accept("cap-v3", with_xattr(cap, good3), {"f": ("xattrs", ["security.capability"])})
    for name, value in (("empty", b""), ("short", good[:3]), ("19", good[:19]), ("21", good + b"x"),
                        ("magic", b"\xff" * 20), ("v1", struct.pack("<III", 0x01000001, 1, 0)),
                        ("v4", struct.pack("<I", 0x04000000) + good[4:]),
                        ("v3-short", good3[:20]), ("big", good * 1000)):
        refuse(f"cap-{name}", with_xattr(cap, value))
    for name in (b"trusted.overlay.opaque", b"trusted.overlay.redirect", b"trusted.overlay.metacopy",
                 b"trusted.other", b"security.selinux", b"security.ima", b"user.overlay.opaque",
                 b"user.overlay.redirect", b"system.other", b"nonsense"):
        accept(f"stripped-{slug(name)}", with_xattr(name, b"y"), {"f": ("xattrs", [])})
    accept("user-xattr", with_xattr(b"user.note", b"a\0b"), {"f": ("xattrs", ["user.note"])})
    accept("opaque-by-xattr", pax((b"SCHILY.xattr.trusted.overlay.opaque", b"y"))
           + directory(b"d") + END, {"d": "d"})
    refuse("xattr-name-long", with_xattr(b"user." + b"n" * 300, b"1"))
    refuse("xattr-value-long", with_xattr(b"user.v", b"v" * 70000))
    refuse("xattr-no-name", with_xattr(b"", b"1"))
    refuse("xattr-many", pax(*[(b"SCHILY.xattr.user.n%d" % i, b"1") for i in range(300)])
           + entry(b"f", b"1") + END)


def pax_damage():
    good = entry(b"f", b"1") + END
    for name, data in (("no-length", b"path=x\n"), ("zero", b"0 path=x\n"),
                       ("short", b"5 path=x\n"), ("long", b"99 path=x\n"),
                       ("no-equals", b"9 pathxx\n"), ("no-newline", b"9 path=xx"),
                       ("no-key", b"6 =xx\n"), ("negative", b"-9 path=x\n"),
                       ("overflow", b"99999999999999999999 path=x\n"), ("text", b"hello"),
                       ("spaces", b"   9 path=x\n"), ("nul", b"\0" * 20),
                       ("nul-key", b"10 pa\0h=x\n")):
        refuse(f"pax-{name}", raw_pax(data) + good)
    refuse("pax-nul-in-path", pax((b"path", b"a\0/../../x")) + good)
    refuse("pax-nul-in-link", pax((b"linkpath", b"a\0b")) + symlink(b"l", b"x") + END)
    refuse("pax-path-up", pax((b"path", b"../../x")) + good)
    refuse("pax-link-up", entry(b"a", b"1") + pax((b"linkpath", b"../a")) + hardlink(b"h", b"a")
           + END)
    refuse("pax-huge", header(b"x", kind=b"x", size=2 << 20) + bytes(2 << 20) + good)
    refuse("pax-cut", header(b"x", kind=b"x", size=1000) + b"30 path=")
    refuse("pax-size-lies", pax((b"size", b"1000000")) + good)
    accept("pax-path", pax((b"path", b"new")) + entry(b"old", b"1") + END, {"new": ("f", b"1")})
    accept("pax-path-empty", pax((b"path", b"a"), (b"path", b"")) + entry(b"old", b"1") + END,
           {"old": ("f", b"1")})
    accept("pax-global", pax((b"path", b"evil"), kind=b"g") + entry(b"f", b"1") + END,
           {"f": ("f", b"1")})
    accept("pax-unknown", pax((b"comment", b"a\0b"), (b"VENDOR.x", b"1")) + good, {"f": "f"})


def sparse():
    def old(regions, realsize, stored, extended=b"\0", extension=b""):
        tail = b"\0" * 41 + b"".join(field(v, 12) for pair in regions for v in pair)
        tail = tail.ljust(41 + 96, b"\0") + extended + field(realsize, 12)
        return (header(b"s", kind=b"S", size=len(stored), magic=b"ustar  \0", tail=tail)
                + extension + padded(stored) + END)

    def version1(text, realsize, stored, size=None):
        data = padded(text) + stored
        return (pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                    (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", realsize))
                + entry(b"GNUSparseFile.0/s", data, size=len(data) if size is None else size)
                + END)

    accept("sparse-old", old([(0, 3), (4096, 3)], 8192, b"abcdef"),
           {"s": ("f", b"abc" + bytes(4093) + b"def" + bytes(4093))})
    refuse("sparse-overlap", old([(0, 3), (2, 3)], 100, b"abcdef"))
    refuse("sparse-backwards", old([(50, 3), (0, 3)], 100, b"abcdef"))
    refuse("sparse-beyond", old([(0, 3), (200, 3)], 100, b"abcdef"))
    refuse("sparse-sum", old([(0, 3), (10, 30)], 100, b"abcdef"))
    refuse("sparse-negative", old([(binary(-5, 12), 6)], 100, b"abcdef"))
    refuse("sparse-realsize-negative", old([(0, 6)], binary(-1, 12), b"abcdef"))
    refuse("sparse-realsize-huge", old([(0, 6)], binary(1 << 60, 12), b"abcdef"))
    refuse("sparse-extended-cut", old([(0, 3)], 100, b"", extended=b"\1")[:BLOCK])
    accept("sparse-1.0", version1(b"2\n0\n3\n1000\n3\n", b"1003", b"abcdef"),
           {"s": ("f", b"abc" + bytes(997) + b"def")})
    accept("sparse-1.0-hole", version1(b"1\n5000\n0\n", b"5000", b""), {"s": ("f", bytes(5000))})
    for name, text in (("junk", b"x\n"), ("count", b"99999999\n"), ("short", b"2\n0\n3\n"),
                       ("negative", b"1\n-1\n6\n"), ("empty", b"\n"),
                       ("digits", b"1" * 30 + b"\n")):
        refuse(f"sparse-1.0-{name}", version1(text, b"1003", b"abcdef"))
    refuse("sparse-1.0-up", pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                (b"GNU.sparse.name", b"../s"), (b"GNU.sparse.realsize", b"6"))
           + entry(b"x", padded(b"1\n0\n6\n") + b"abcdef") + END)
    refuse("sparse-2.0", pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0"))
           + entry(b"x", b"1") + END)
    accept("sparse-0.1", pax((b"GNU.sparse.size", b"1003"), (b"GNU.sparse.name", b"s"),
                             (b"GNU.sparse.map", b"0,3,1000,3")) + entry(b"x", b"abcdef") + END,
           {"s": ("f", b"abc" + bytes(997) + b"def")})
    accept("sparse-0.0", pax((b"GNU.sparse.size", b"1003"), (b"GNU.sparse.offset", b"0"),
                             (b"GNU.sparse.numbytes", b"3"), (b"GNU.sparse.offset", b"1000"),
                             (b"GNU.sparse.numbytes", b"3")) + entry(b"s", b"abcdef") + END,
           {"s": ("f", b"abc" + bytes(997) + b"def")})
    refuse("sparse-0.1-odd", pax((b"GNU.sparse.size", b"100"), (b"GNU.sparse.map", b"0,3,50"))
           + entry(b"s", b"abcdef") + END)
    refuse("sparse-0.0-odd", pax((b"GNU.sparse.size", b"100"), (b"GNU.sparse.numbytes", b"3"))
           + entry(b"s", b"abc") + END)


def damage():
    good = entry(b"f", b"content") + END
    for at in (1, 100, 511, 513, 515):
        refuse(f"cut-{at}", good[:at])
    accept("cut-padding", good[:BLOCK + 7], {"f": ("f", b"content")})
    accept("no-end", good[:2 * BLOCK], {"f": ("f", b"content")})
    accept("one-zero-block", good[:3 * BLOCK], {"f": ("f", b"content")})
    accept("garbage-after-end", good + b"garbage" * 1000, {"f": ("f", b"content")})
    accept("only-end", END, {})
    refuse("empty", b"")
    refuse("text", b"this is not an archive\n" * 100)
    refuse("binary", bytes(range(256)) * 20)
    refuse("checksum", header(b"f", size=0, checksum=1) + END)
    refuse("checksum-text", good.replace(b"\0 0", b"\0 9", 1)[:148] + b"abcdefgh" + good[156:])
    for kind in (b"M", b"N", b"Z", b"A", b"8", b"9", b"\x80", b" ", b"D"):
        refuse(f"type-{slug(kind)}", entry(b"f", b"", kind=kind) + END)
    accept("type-v7", entry(b"f", b"1", kind=b"\0") + entry(b"d/", kind=b"\0") + END,
           {"f": ("f", b"1"), "d": "d"})
    accept("type-contiguous", entry(b"f", b"1", kind=b"7") + END, {"f": ("f", b"1")})
    accept("volume-label", entry(b"label", kind=b"V") + good, {"f": "f"})
    accept("dir-with-size", header(b"d", kind=b"5", size=4096) + good, {"d": "d", "f": "f"})


def compression():
    good = entry(b"f", b"content") + END
    tree = {"f": ("f", b"content")}

    def zstd(data):
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout

    for name, pack in (("gzip", gzip.compress), ("zstd", zstd), ("xz", lzma.compress),
                       ("bzip2", bz2.compress)):
        packed = pack(good)
        accept(f"{name}-good", packed, tree)
        refuse(f"{name}-cut", packed[:len(packed) // 2])
        refuse(f"{name}-cut-end", packed[:-3])
        refuse(f"{name}-magic-only", packed[:6])
        middle = len(packed) // 2
        flipped = packed[:middle] + bytes([packed[middle] ^ 0x55]) + packed[middle + 1:]
        refuse(f"{name}-flipped", flipped)
        refuse(f"{name}-of-text", pack(b"no archive" * 200))
    accept("gzip-members", gzip.compress(good[:300]) + gzip.compress(good[300:]), tree)
    accept("zstd-frames", zstd(good[:300]) + zstd(good[300:]), tree)
    refuse("gzip-garbage-after", gzip.compress(good) + b"garbage")
    refuse("gzip-of-gzip", gzip.compress(gzip.compress(good)))


def bombs():
    size = 400 << 20
    head = header(b"zeroes", size=size)
    tail = END
    for name, command in (("zstd", ["zstd", "-q", "-3", "-c"]), ("gzip", ["gzip", "-1", "-c"])):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            import threading
            chunks = []
            reader = threading.Thread(target=lambda p=process, c=chunks: c.append(p.stdout.read()))
            reader.start()
            process.stdin.write(head)
            for _ in range(size >> 20):
                process.stdin.write(bytes(1 << 20))
            process.stdin.write(tail)
            process.stdin.close()
            reader.join()
        refuse(f"bomb-{name}", chunks[0])


def generate(canary):
    """All cases as (name, bytes, tree or None)."""
    CASES.clear()
    names_that_leave(canary)
    through_symlinks(canary)
    hardlinks(canary)
    whiteouts()
    numbers()
    roots()
    duplicates()
    long_names()
    devices()
    xattrs()
    pax_damage()
    sparse()
    damage()
    compression()
    bombs()
    return list(CASES)
