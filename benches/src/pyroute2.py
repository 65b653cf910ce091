"""Makes a host with pyroute2: reads steps, says "ready", and does them when a line comes in."""

import json
import subprocess
import sys

from pyroute2 import IPRoute, NetNS, netns

steps = json.load(open(sys.argv[1]))
here = IPRoute()
there = {}


def of(name):
    if not name:
        return here
    if name not in there:
        there[name] = NetNS(name)
    return there[name]


def options(words):
    """`a b c d` as {"a": "b", "c": "d"}; words that stand alone are left out."""
    alone = {"up", "noprefixroute", "nodad", "onlink"}
    words = [word for word in words if word not in alone]
    return dict(zip(words[::2], words[1::2]))


def link(handle, words):
    verb, _, name = words[:3]
    words = words[1:]
    if verb == "add":
        said = options(words[2:4])
        rest = words[4:]
        peer = {"ifname": rest[rest.index("name") + 1]}
        if "netns" in rest:
            peer["net_ns_fd"] = rest[rest.index("netns") + 1]
        handle.link("add", ifname=name, kind=said["type"], peer=peer)
        return
    said = options(words[2:])
    change = {"index": index(handle, name)}
    if "mtu" in said:
        change["mtu"] = int(said["mtu"])
    if "address" in said:
        change["address"] = said["address"]
    if "up" in words:
        change["state"] = "up"
    handle.link("set", **change)


def index(handle, name):
    return handle.link_lookup(ifname=name)[0]


def address(handle, words):
    said = options(words[2:])
    where, length = words[1].split("/")
    extra = {}
    if "noprefixroute" in words:
        extra["IFA_FLAGS"] = 0x200
    if "nodad" in words:
        extra["IFA_FLAGS"] = 0x02
    handle.addr(words[0], index=index(handle, said["dev"]), address=where, prefixlen=int(length), **extra)


def route(handle, words):
    said = options([word for word in words[2:] if word != "inet6"])
    route = {"dst": words[1], "oif": index(handle, said["dev"])}
    if "via" in said:
        if ":" in said["via"] and ":" not in words[1]:
            route["via"] = {"family": 10, "addr": said["via"]}
        else:
            route["gateway"] = said["via"]
    handle.route("add", **route)


def neighbour(handle, words):
    said = options(words[1:])
    handle.neigh("add", dst=said["proxy"], ifindex=index(handle, said["dev"]), family=10, flags=8, state="permanent")


def tap(handle, words):
    name = words[words.index("dev") + 1]
    handle.link("add", ifname=name, kind="tuntap", mode="tap", multi_queue="multi_queue" in words)


def ip(name, words):
    kind, rest = words[0], words[1:]
    if kind == "netns":
        netns.create(rest[1])
        return
    verbs = {
        "link": link, "address": address, "route": route, "neighbour": neighbour, "tuntap": tap,
    }
    verbs[kind](of(name), rest)


def sysctl(name, text):
    key, value = text.split("=", 1)
    if name:
        netns.pushns(name)
    with open("/proc/sys/" + key, "w") as file:
        file.write(value)
    if name:
        netns.popns()


def nft(name, ruleset):
    inside = ["ip", "netns", "exec", name] if name else []
    subprocess.run([*inside, "nft", "-f", "-"], input=ruleset.encode(), check=True)


print("ready", flush=True)
sys.stdin.readline()
for kind, name, text in steps:
    {"ip": lambda: ip(name, text.split()), "sysctl": lambda: sysctl(name, text), "nft": lambda: nft(name, text)}[kind]()
print("done", flush=True)
