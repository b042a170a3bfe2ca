#!/usr/bin/env python3
"""Random verb sequences against a model of the container lifecycle.

Each sequence is a random walk of verbs over a few names, with SIGKILLs of command lines, monitors and
the containers' own processes in between. After every verb its exit status and every container's state
must be what the model says; after every sequence, with everything removed, nothing may be left on the
machine: files, mounts, cgroups, interfaces, rules, processes.

The model is written from docker's behaviour, not from src/engine/lifecycle.c, so that the two check
each other. Usage: model.py [--sequences N] [--length N] [--seed N]; needs MASU, MASU_ROOT,
MASU_RUNROOT, PARENT (a cgroup parent) and busybox:local in the store. A failure prints the sequence and
the seed that repeats it.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

MASU = os.environ["MASU"]
ROOT = os.environ["MASU_ROOT"]
RUNROOT = os.environ["MASU_RUNROOT"]
PARENT = os.environ["PARENT"]
NAMES = ["ada", "bob", "eve"]
WAIT_S = 15

ABSENT, CREATED, RUNNING, PAUSED, EXITED = "absent", "created", "running", "paused", "exited"
LIVE = (RUNNING, PAUSED)


class Failure(Exception):
    pass


class Model:
    """One container as docker would have it."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.state = ABSENT
        self.auto_remove = False
        self.policy = "no"  # --restart
        self.supervised = False  # a monitor is alive

    def make(self, state, auto_remove, policy):
        self.state, self.auto_remove, self.policy = state, auto_remove, policy
        self.supervised = state == RUNNING

    def end(self):
        """Its process has ended and no policy brings it back."""
        self.supervised = False
        if self.auto_remove:
            self.forget()
        else:
            self.state = EXITED


def masu(*args, timeout=60):
    try:
        done = subprocess.run([MASU, *args], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(args)}: no end within {timeout} s")
    return done.returncode, done.stdout, done.stderr


def inspect(name):
    status, out, _ = masu("container", "inspect", name)
    return json.loads(out)[0] if status == 0 else None


def live_file(document):
    try:
        with open(f"{RUNROOT}/containers/{document['Id']}/live.json") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def state_of(name):
    document = inspect(name)
    return document["State"]["Status"] if document else ABSENT


def eventually(what, wanted, probe):
    deadline = time.monotonic() + WAIT_S
    while True:
        found = probe()
        if found in wanted:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what}: {found} instead of {' or '.join(map(str, wanted))}")
        time.sleep(0.01)


class Walk:
    def __init__(self, seed, length):
        self.random = random.Random(seed)
        self.length = length
        self.models = {name: Model() for name in NAMES}
        self.history = []

    # ---- what the model says ----

    def expect(self, status, wanted, args, err):
        if (status == 0) != wanted:
            raise Failure(f"{' '.join(args)}: exit status {status}, expected "
                          f"{'0' if wanted else 'a failure'}: {err.strip()}")
        if status != 0 and (not err.strip() or "\n" in err.strip()):
            raise Failure(f"{' '.join(args)}: not one line of error: {err!r}")

    def verb(self, wanted, *args):
        self.history.append(" ".join(args))
        status, out, err = masu(*args)
        self.expect(status, wanted, args, err)
        return out

    def options(self, model_name):
        rm = self.random.random() < 0.3
        policy = "no" if rm else self.random.choice(["no", "no", "always", "unless-stopped",
                                                     "on-failure:5"])
        network = self.random.choice(["none", "none", "none", "host", "bridge"])
        options = ["--name", model_name, "--cgroup-parent", PARENT, "--network", network,
                   "--restart", policy]
        if network == "bridge" and self.random.random() < 0.5:
            options += ["-p", "80"]
        if rm:
            options.append("--rm")
        if self.random.random() < 0.2:
            options += ["-v", f"{model_name}-data:/data"]
        if self.random.random() < 0.2:
            options.append("--init")
        return options, rm, policy

    def create(self, name, model):
        options, rm, policy = self.options(name)
        fresh = model.state == ABSENT
        self.verb(fresh, "create", *options, "busybox:local", "sleep", "1000")
        if fresh:
            model.make(CREATED, rm, policy)

    def run(self, name, model):
        options, rm, policy = self.options(name)
        fresh = model.state == ABSENT
        self.verb(fresh, "run", "-d", *options, "busybox:local", "sleep", "1000")
        if fresh:
            model.make(RUNNING, rm, policy)

    def start(self, name, model):
        self.verb(model.state in (CREATED, EXITED, RUNNING), "start", name)
        if model.state in (CREATED, EXITED):
            model.state, model.supervised = RUNNING, True

    def stop(self, name, model):
        self.verb(model.state != ABSENT, "stop", "-t", "0", name)
        if model.state in LIVE:
            model.end()

    def restart(self, name, model):
        # --rm does not apply to the end that a restart makes; without a monitor nobody knows.
        gone = model.state in LIVE and model.auto_remove and not model.supervised
        self.verb(model.state != ABSENT and not gone, "restart", "-t", "0", name)
        if gone:
            model.forget()
        elif model.state != ABSENT:
            model.state, model.supervised = RUNNING, True

    def kill(self, name, model):
        self.verb(model.state == RUNNING or model.state == PAUSED, "kill", name)
        if model.state in LIVE:
            model.end()

    def pause(self, name, model):
        self.verb(model.state == RUNNING, "pause", name)
        if model.state == RUNNING:
            model.state = PAUSED

    def unpause(self, name, model):
        self.verb(model.state == PAUSED, "unpause", name)
        if model.state == PAUSED:
            model.state = RUNNING

    def exec(self, name, model):
        self.verb(model.state == RUNNING, "exec", name, "true")

    def rm(self, name, model):
        self.verb(model.state in (CREATED, EXITED), "rm", name)
        if model.state in (CREATED, EXITED):
            model.forget()

    def rm_force(self, name, model):
        self.verb(True, "rm", "-f", name)
        model.forget()

    def wait(self, name, model):
        if model.state != EXITED and model.state != ABSENT:
            return
        self.verb(model.state == EXITED, "wait", name)

    def rename(self, name, model):
        other = self.random.choice([n for n in NAMES if n != name])
        free = self.models[other].state == ABSENT
        self.verb(model.state != ABSENT and free, "rename", name, other)
        if model.state != ABSENT and free:
            self.models[name], self.models[other] = self.models[other], model

    def update(self, name, model):
        policy = self.random.choice(["no", "always", "on-failure"])
        fine = model.state != ABSENT and not (model.auto_remove and policy != "no")
        self.verb(fine, "update", "--restart", policy, "--pids-limit", "100", name)
        if fine:
            model.policy = policy

    def list(self, name, model):
        out = self.verb(True, "ps", "-a", "--format", "{{.Names}}")
        wanted = sorted(n for n, m in self.models.items() if m.state != ABSENT)
        if sorted(out.split()) != wanted:
            raise Failure(f"ps -a lists {sorted(out.split())}, not {wanted}")

    # ---- faults ----

    def kill_process(self, name, model):
        """The container's own process dies."""
        if model.state != RUNNING:
            return
        self.history.append(f"SIGKILL the process of {name}")
        before = inspect(name)["State"]["Pid"]
        os.kill(before, signal.SIGKILL)
        if model.policy == "no" or not model.supervised:
            model.end()
            return

        def back():
            document = inspect(name)
            return (document["State"]["Status"] == RUNNING
                    and document["State"]["Pid"] not in (0, before)) if document else None
        eventually(f"{name} is restarted by its policy", (True,), back)

    def kill_monitor(self, name, model):
        if model.state not in LIVE or not model.supervised:
            return
        self.history.append(f"SIGKILL the monitor of {name}")
        os.kill(live_file(inspect(name))["MonitorPid"], signal.SIGKILL)
        model.supervised = False

    def kill_command(self, name, model):
        """A command line dies at some point: whatever it was about is done or not done."""
        verb = self.random.choice(["create", "run", "start", "stop", "kill", "rm", "restart",
                                   "pause", "unpause"])
        before = model.state
        options, rm, policy = self.options(name)
        tail = {"create": options + ["busybox:local", "sleep", "1000"],
                "run": ["-d"] + options + ["busybox:local", "sleep", "1000"],
                "stop": ["-t", "0", name], "restart": ["-t", "0", name]}.get(verb, [name])
        delay = self.random.uniform(0, 0.015)
        self.history.append(f"{verb} {' '.join(tail)}, SIGKILL after {delay * 1000:.1f} ms")
        command = subprocess.Popen([MASU, verb, *tail], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        command.kill()
        command.wait()
        after = {
            "create": {ABSENT: (ABSENT, CREATED)},
            "run": {ABSENT: (ABSENT, CREATED, RUNNING)},
            "start": {CREATED: (CREATED, RUNNING), EXITED: (EXITED, RUNNING)},
            "stop": {RUNNING: (RUNNING, EXITED, ABSENT), PAUSED: (PAUSED, RUNNING, EXITED, ABSENT)},
            "kill": {RUNNING: (RUNNING, EXITED, ABSENT), PAUSED: (PAUSED, RUNNING, EXITED, ABSENT)},
            "rm": {CREATED: (CREATED, ABSENT), EXITED: (EXITED, ABSENT)},
            "restart": {s: (CREATED, RUNNING, PAUSED, EXITED, ABSENT) for s in
                        (CREATED, RUNNING, PAUSED, EXITED)},
            "pause": {RUNNING: (RUNNING, PAUSED)},
            "unpause": {PAUSED: (RUNNING, PAUSED)},
        }[verb].get(before, (before,))
        self.settle(verb, name, model, after, rm, policy)

    def settle(self, verb, name, model, allowed, rm, policy):
        """Takes over what the killed command line left, once that no longer changes."""
        eventually(f"{name} after a killed command", allowed, lambda: state_of(name))
        # A monitor may still be on its way: what it does shows within the quiet time, which on a busy
        # machine is that of so many commands. A signal that was sent may take its process longer.
        least, looks_least = (1.0, 60) if verb in ("stop", "kill", "restart") else (0.15, 15)
        quiet, looks, last = time.monotonic() + least, 0, state_of(name)
        while time.monotonic() < quiet or looks < looks_least:
            time.sleep(0.01)
            now, looks = state_of(name), looks + 1
            if now != last:
                quiet, looks, last = time.monotonic() + least, 0, now
        if last not in allowed:
            raise Failure(f"{name} after a killed command: {last}, not one of {allowed}")
        if last == ABSENT:
            model.forget()
            return
        if model.state == ABSENT:
            model.make(last, rm, policy)
        document = inspect(name)
        model.state = last
        model.policy = document["HostConfig"]["RestartPolicy"]["Name"]
        model.auto_remove = document["HostConfig"]["AutoRemove"]
        model.supervised = last in LIVE and os.path.exists(
            f"/proc/{live_file(document).get('MonitorPid', 0)}")

    # ---- the walk ----

    VERBS = [(create, 6), (run, 8), (start, 6), (stop, 5), (restart, 3), (kill, 3), (pause, 3),
             (unpause, 3), (exec, 5), (rm, 4), (rm_force, 3), (wait, 2), (rename, 3), (update, 2),
             (list, 3), (kill_process, 3), (kill_monitor, 2), (kill_command, 6)]

    def check(self):
        """What ps lists is what the model says; inspect says the same where they differ for long."""
        wanted = {n: m.state for n, m in self.models.items() if m.state != ABSENT}
        status, out, err = masu("ps", "-a", "--format", "{{.Names}} {{.State}}")
        self.expect(status, True, ("ps",), err)
        if dict(line.split() for line in out.splitlines()) == wanted:
            return
        for name, model in self.models.items():
            eventually(f"state of {name}", (model.state,), lambda: state_of(name))

    def step(self):
        steps, weights = zip(*self.VERBS)
        verb = self.random.choices(steps, weights)[0]
        name = self.random.choice(NAMES)
        verb(self, name, self.models[name])
        self.check()

    def finish(self):
        for name in NAMES:
            self.rm_force(name, self.models[name])
        for name in NAMES:
            masu("volume", "rm", f"{name}-data")


def leftovers():
    """What outlives a container and that masu could have left, as a list of lines."""
    found = []
    for top, keep in ((f"{ROOT}/containers", (".new",)), (f"{ROOT}/containers/.new", ()),
                      (f"{ROOT}/names", ()), (f"{RUNROOT}/containers", ()), (f"{ROOT}/trash", ())):
        if os.path.isdir(top):
            found += [f"{top}/{entry}" for entry in os.listdir(top) if entry not in keep]
    for tree, below, _ in os.walk("/sys/fs/cgroup"):
        if f"{PARENT}/" in tree:
            found.append(tree)
    with open("/proc/self/mountinfo") as mounts:
        found += [line.strip() for line in mounts if f"{ROOT}/containers" in line]
    # The bridge goes by itself a while after its last container, so only what hangs on it counts.
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    found += [line.split()[1] for line in links.splitlines() if "veth" in line]
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
    found += [line.strip() for line in rules.splitlines() if "elements = {" in line]
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/environ", "rb") as environ:
                ours = f"MASU_ROOT={ROOT}\0".encode() in environ.read()
            with open(f"/proc/{process}/comm") as comm:
                if ours and comm.read().startswith("masu"):
                    found.append(f"process {process}")
        except OSError:
            pass
    return found


def wait_for_nothing():
    deadline = time.monotonic() + WAIT_S
    while (found := leftovers()):
        if time.monotonic() > deadline:
            raise Failure("left behind: " + "; ".join(found))
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--length", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    steps = 0
    for index in range(options.sequences):
        walk = Walk(options.seed + index, options.length)
        try:
            for _ in range(walk.length):
                walk.step()
            walk.finish()
            wait_for_nothing()
        except Failure as failure:
            print(f"sequence {index}: {failure}", *walk.history, sep="\n  ")
            print(f"repeat with: --sequences 1 --length {options.length} "
                  f"--seed {options.seed + index}")
            return 1
        steps += len(walk.history)
    print(f"{options.sequences} sequences, {steps} steps, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
