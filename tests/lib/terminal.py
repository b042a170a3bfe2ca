#!/usr/bin/env python3
"""Runs a command on a terminal of its own and talks to it.

Usage: terminal.py ROWS COLUMNS COMMAND...   The script is read from stdin, one step a line:
  expect TEXT      waits (10 s at most) until TEXT was printed after the last match
  send TEXT        types TEXT; Python escapes (\\r, \\x10) are understood
  resize ROWS COLUMNS
Prints everything the command printed; exits with its status, or 99 where a step failed.
"""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


def main():
    rows, columns, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    steps = sys.stdin.read().splitlines()
    pid, master = pty.fork()
    if pid == 0:
        set_size(0, rows, columns)
        os.execvp(command[0], command)
    printed, seen = b"", 0

    def read_some(timeout):
        nonlocal printed
        ready, _, _ = select.select([master], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(master, 65536)
        except OSError:
            return False
        printed += data
        return bool(data)

    failed = ""
    for step in steps:
        verb, _, rest = step.partition(" ")
        if verb == "send":
            os.write(master, rest.encode().decode("unicode_escape").encode("latin-1"))
        elif verb == "resize":
            set_size(master, *rest.split())
        elif verb == "expect":
            deadline, wanted, alive = time.monotonic() + 60, rest.encode(), True
            while wanted not in printed[seen:] and alive and time.monotonic() < deadline:
                alive = read_some(0.2)
            at = printed.find(wanted, seen)
            if at < 0:
                failed = f"never printed: {rest}"
                break
            seen = at + len(wanted)
    deadline = time.monotonic() + 60
    while not failed and time.monotonic() < deadline and read_some(0.2):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            while select.select([master], [], [], 0)[0] and read_some(0):
                pass
            break
    sys.stdout.write(printed.decode(errors="replace"))
    if failed:
        print(failed)
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    sys.exit(99 if failed else os.waitstatus_to_exitcode(status) & 0xFF)


main()
