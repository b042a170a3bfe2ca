#!/usr/bin/python3
"""Plays org.freedesktop.systemd1 on the bus of $DBUS_SYSTEM_BUS_ADDRESS for the tests of masu-systemd.

Usage: fake-systemd.py RECORD [ROOT...]
Each call is appended to RECORD as one JSON line. A started scope gets a group of the path that systemd
would give it below each ROOT (mount points of cgroup hierarchies) and its PIDs are moved there.
A unit named *fail* fails to start, *slow* ends its job before the reply is sent, and *exists* exists
until ResetFailedUnit is called for it.
"""
import json
import os
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER = "org.freedesktop.systemd1.Manager"
record_path, roots = sys.argv[1], sys.argv[2:]


def plain(value):
    if isinstance(value, (dbus.Array, list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, (dbus.Byte, int)):
        return int(value)
    return str(value)


def record(**call):
    with open(record_path, "a", encoding="utf-8") as f:
        f.write(json.dumps(call) + "\n")


def typed(properties):
    return {str(k): [signature(v), plain(v)]
            for k, v in properties}


def signature(value):
    if isinstance(value, dbus.Array):
        return "a" + str(value.signature)
    for kind, letter in ((dbus.Boolean, "b"), (dbus.Byte, "y"), (dbus.Int16, "n"), (dbus.UInt16, "q"),
                         (dbus.Int32, "i"), (dbus.UInt32, "u"), (dbus.Int64, "x"), (dbus.UInt64, "t")):
        if isinstance(value, kind):
            return letter
    return "s"


def slice_path(name):
    stem = name[: -len(".slice")]
    if stem == "-":
        return ""
    parts = stem.split("-")
    return "".join("/" + "-".join(parts[: i + 1]) + ".slice" for i in range(len(parts)))


def bus_path(unit):
    escaped = "".join(c if c.isalnum() else "_%02x" % ord(c) for c in unit)
    return "/org/freedesktop/systemd1/unit/" + escaped


class Unit(dbus.service.Object):
    def __init__(self, bus, name, group):
        super().__init__(bus, bus_path(name))
        self.group = group

    @dbus.service.method(dbus.PROPERTIES_IFACE, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        if name != "ControlGroup":
            raise dbus.exceptions.DBusException("no such property")
        return dbus.String(self.group)


class Manager(dbus.service.Object):
    def __init__(self, bus):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.bus, self.units, self.jobs, self.reset = bus, {}, 0, set()

    def job(self, unit, result, early=False):
        self.jobs += 1
        path = dbus.ObjectPath("/org/freedesktop/systemd1/job/%d" % self.jobs)
        number = self.jobs
        if early:
            self.JobRemoved(number, path, unit, result)
        else:
            GLib.timeout_add(20, lambda: self.JobRemoved(number, path, unit, result))
        return path

    @dbus.service.signal(MANAGER, signature="uoss")
    def JobRemoved(self, number, path, unit, result):
        pass

    @dbus.service.method(MANAGER, in_signature="ssa(sv)a(sa(sv))", out_signature="o")
    def StartTransientUnit(self, name, mode, properties, aux):
        name = str(name)
        record(call="start", unit=name, mode=str(mode), properties=typed(properties))
        if name in self.units or ("exists" in name and name not in self.reset):
            raise dbus.exceptions.DBusException("Unit %s already exists." % name,
                                                name="org.freedesktop.systemd1.UnitExists")
        if "fail" in name:
            return self.job(name, "failed")
        values = {str(k): plain(v) for k, v in properties}
        group = slice_path(values.get("Slice", "-.slice")) + "/" + name
        for root in roots:
            os.makedirs(root + group, exist_ok=True)
            for pid in values.get("PIDs", []):
                with open(root + group + "/cgroup.procs", "w", encoding="ascii") as f:
                    f.write(str(pid))
        self.units[name] = Unit(self.bus, name, group)
        return self.job(name, "done", early="slow" in name)

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def StopUnit(self, name, mode):
        name = str(name)
        record(call="stop", unit=name, mode=str(mode))
        unit = self.units.pop(name, None)
        if not unit:
            raise dbus.exceptions.DBusException("Unit %s not loaded." % name,
                                                name="org.freedesktop.systemd1.NoSuchUnit")
        unit.remove_from_connection()
        return self.job(name, "done")

    @dbus.service.method(MANAGER, in_signature="sba(sv)", out_signature="")
    def SetUnitProperties(self, name, runtime, properties):
        record(call="set", unit=str(name), runtime=bool(runtime), properties=typed(properties))

    @dbus.service.method(MANAGER, in_signature="s", out_signature="")
    def ResetFailedUnit(self, name):
        record(call="reset", unit=str(name))
        self.reset.add(str(name))


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
owner = dbus.service.BusName("org.freedesktop.systemd1", bus)
manager = Manager(bus)
print("ready", flush=True)
GLib.MainLoop().run()
