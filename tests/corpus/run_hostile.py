#!/usr/bin/env python3
"""Imports every archive of hostile_tars.py and checks what became of it.

Usage: run_hostile.py MASU SCRATCH-DIRECTORY [--layer-format=FORMAT] [CASE-PREFIX...]
A canary tree beside the image store must never change. A refusal is a non-zero status and one line
on stderr, and leaves the store as it was. Prints one line a failure; the status is 1 where any.
"""
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys

import hostile_tars


def tree_hash(path):
    digest = hashlib.sha256()
    for root, dirs, files in os.walk(path):
        dirs.sort()
        for name in sorted(files) + dirs:
            full = os.path.join(root, name)
            info = os.lstat(full)
            digest.update(repr((full, info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns,
                                info.st_nlink, info.st_size, os.listxattr(full,
                                follow_symlinks=False))).encode())
            if stat.S_ISREG(info.st_mode):
                with open(full, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


def make_canary(path):
    os.makedirs(os.path.join(path, "sub"))
    for name in ("file", "passwd", "sub/deep"):
        with open(os.path.join(path, name), "w", encoding="ascii") as file:
            file.write("canary\n")


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


TYPES = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK, "p": stat.S_ISFIFO,
         "c": stat.S_ISCHR, "b": stat.S_ISBLK}


def check_entry(path, check):
    """check: a type letter, 'w' whiteout, 'o' opaque directory, '*' anything, or (what, value)."""
    info = os.lstat(path)
    what, value = check if isinstance(check, tuple) else (check, None)
    names = os.listxattr(path, follow_symlinks=False)
    if what == "w":
        expect(stat.S_ISCHR(info.st_mode) and info.st_rdev == 0, f"{path}: no whiteout")
    elif what == "o":
        expect(stat.S_ISDIR(info.st_mode), f"{path}: no directory")
        expect("trusted.overlay.opaque" in names, f"{path}: not opaque")
    elif what in TYPES:
        expect(TYPES[what](info.st_mode), f"{path}: is no {what}")
        expect("trusted.overlay.opaque" not in names, f"{path}: opaque")
        if what == "f" and value is not None:
            with open(path, "rb") as file:
                expect(file.read() == value, f"{path}: wrong content")
        if what == "l" and value is not None:
            expect(os.readlink(path) == value, f"{path}: wrong target")
        if what in "bc" and value is not None:
            expect((os.major(info.st_rdev), os.minor(info.st_rdev)) == value, f"{path}: device")
    elif what == "mode":
        expect(stat.S_IMODE(info.st_mode) == value, f"{path}: mode {info.st_mode:o}")
    elif what in ("uid", "gid"):
        expect(getattr(info, "st_" + what) == value, f"{path}: {what}")
    elif what == "mtime":
        expect(info.st_mtime_ns == value, f"{path}: mtime {info.st_mtime_ns}")
    elif what == "xattrs":
        expect(names == value, f"{path}: attributes {names}")


def check_tree(layer, tree):
    found = set()
    for root, dirs, files in os.walk(layer):
        for name in dirs + files:
            found.add(os.path.relpath(os.path.join(root, name), layer))
    wanted = {path for path in tree if path not in ("", "__any__")}
    if "__any__" not in tree:
        parents = {p for w in wanted for p in _parents(w)}
        expect(found <= wanted | parents, f"more in the layer: {sorted(found - wanted)[:3]}")
    for path in wanted | ({""} if "" in tree else set()):
        expect(os.path.lexists(os.path.join(layer, path)), f"{path}: missing")
        check_entry(os.path.join(layer, path), tree[path])


def _parents(path):
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


class Runner:
    def __init__(self, masu, scratch, options):
        self.masu = masu
        self.options = options
        self.root = os.path.join(scratch, "root")
        self.archive = os.path.join(scratch, "case.tar")
        self.env = dict(os.environ, MASU_ROOT=self.root,
                        MASU_RUNROOT=os.path.join(scratch, "run"))

    def run(self, *args):
        return subprocess.run([self.masu, *args], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, check=False)

    def leftovers(self):
        names = ("images/.masu/staging", "layers/overlay/.staging")
        paths = [os.path.join(self.root, name) for name in names]
        return [name for path in paths if os.path.isdir(path) for name in os.listdir(path)]

    def blobs(self):
        path = os.path.join(self.root, "images/blobs/sha256")
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def check_layer(self, layer, tree):
        if os.path.isdir(os.path.join(layer, "diff")):
            expect("--layer-format=erofs" not in self.options, "kept as a directory")
            check_tree(os.path.join(layer, "diff"), tree)
            return
        # A layer that is kept as its tar is mounted for the first container.
        result = self.run("create", "--name", "case", "case:1", "/x")
        expect(result.returncode == 0, f"create: {result.stderr!r}")
        check_tree(os.path.join(layer, "fs"), tree)
        result = self.run("rm", "case")
        expect(result.returncode == 0, f"rm: {result.stderr!r}")

    def check(self, data, tree):
        with open(self.archive, "wb") as file:
            file.write(data)
        before = self.blobs()
        result = self.run("import", *self.options, self.archive, "case:1")
        error = result.stderr.decode("utf-8", "replace")
        expect(not self.leftovers(), f"left in staging: {self.leftovers()}")
        if tree is None:
            expect(result.returncode == 1, f"status {result.returncode}, must be refused: {error}")
            expect(error.startswith("masu: import ") and error.count("\n") == 1,
                   f"not one line: {error!r}")
            expect(self.blobs() == before, "blobs were left")
            return
        expect(result.returncode == 0, f"must be accepted: {error}")
        with open(os.path.join(self.root, "images/index.json"), encoding="utf-8") as file:
            expect(json.load(file)["manifests"], "no image in the index")
        base = os.path.join(self.root, "layers/overlay")
        layers = [name for name in os.listdir(base) if name[0] != "."]
        expect(len(layers) == 1, f"{len(layers)} layers")
        self.check_layer(os.path.join(base, layers[0]), tree)
        result = self.run("rmi", "case:1")
        expect(result.returncode == 0, f"rmi: {result.stderr!r}")
        expect(not [name for name in os.listdir(base) if name[0] != "."], "rmi left a layer")
        expect(not self.blobs(), "rmi left blobs")


def main():
    masu, scratch = sys.argv[1:3]
    canary = os.path.join(scratch, "canary")
    make_canary(canary)
    before = tree_hash(canary)
    options = [word for word in sys.argv[3:] if word.startswith("--")]
    runner = Runner(masu, scratch, options)
    cases = hostile_tars.generate(canary.encode())
    expect(len({name for name, _, _ in cases}) == len(cases), "case names are not unique")
    prefixes = tuple(word for word in sys.argv[3:] if word not in options) or ("",)
    cases = [case for case in cases if case[0].startswith(prefixes)]
    failures = 0
    for name, data, tree in cases:
        try:
            runner.check(data, tree)
            expect(tree_hash(canary) == before, "THE CANARY CHANGED")
        except (Failure, OSError) as failure:
            failures += 1
            print(f"{name}: {failure}")
            runner.run("rm", "-f", "case")
            runner.run("rmi", "-f", "case:1")
            shutil.rmtree(runner.root, ignore_errors=True)
    print(f"{len(cases)} archives, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
