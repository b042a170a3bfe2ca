#!/usr/bin/env python3
"""Everything that stat(2), listxattr(2) and read(2) tell of a tree, one line a file, sorted.

Usage: tree-listing.py DIRECTORY [EXCLUDED-NAME...]   (names directly below DIRECTORY)
Left out is what belongs to the filesystem underneath: inode numbers (but files that are one are told
as such), sizes of directories, blocks, and the times that are not mtime. What was made in the last
hour was made "now".
"""
import errno
import hashlib
import os
import stat
import sys
import time


BLOCK = 1 << 16


def blocks_with_data(fd, size):
    """The offsets of the blocks that are not known to be holes; a hole of 8 GiB is not read."""
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA) // BLOCK * BLOCK
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole up to the end
        yield offset
        offset += BLOCK


def content(path, info):
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(info.st_mode):
        return "-"
    digest = hashlib.sha256(str(info.st_size).encode())
    with open(path, "rb", buffering=0) as file:
        for offset in blocks_with_data(file.fileno(), info.st_size):
            block = os.pread(file.fileno(), BLOCK, offset)
            if block.strip(b"\0"):
                digest.update(b"%d:" % offset + block)
    return digest.hexdigest()


def attributes(path):
    return {name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))}


def main():
    top, excluded = os.fsencode(sys.argv[1]), [os.fsencode(name) for name in sys.argv[2:]]
    device = os.lstat(os.path.join(top, b".")).st_dev
    first, recent = {}, time.time_ns() - 3600 * 10**9
    info = os.lstat(os.path.join(top, b"."))
    print(".", f"{info.st_mode:o}", info.st_uid, info.st_gid, sep="\t")
    for root, dirs, files in os.walk(top):
        if root == top:
            dirs[:] = [name for name in dirs if name not in excluded]
            files = [name for name in files if name not in excluded]
        for name in sorted(dirs + files):
            path = os.path.join(root, name)
            info, shown = os.lstat(path), os.path.relpath(path, top)
            same = "" if stat.S_ISDIR(info.st_mode) else first.setdefault(info.st_ino, shown)
            size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
            mtime = "now" if info.st_mtime_ns > recent else info.st_mtime_ns
            print(shown, f"{info.st_mode:o}", info.st_uid, info.st_gid, info.st_nlink, size,
                  info.st_rdev, mtime, info.st_dev == device, same, content(path, info),
                  attributes(path), sep="\t")
        dirs.sort()


main()
