"""Builds a spec out of records and applies it."""

import json
import sys

from guestnet import Guest, Host, HostSpec, Interface, Nat

with open(sys.argv[1]) as file:
    text = file.read()
print("ready", flush=True)
sys.stdin.readline()
records = json.loads(text)
guests = []
for record in records["guests"]:
    interfaces = [Interface(**interface) for interface in record.pop("interfaces")]
    guests.append(Guest(**record, interfaces=interfaces))
with Host() as host:
    host.apply(HostSpec(guests=guests, nat=Nat(**records["nat"])))
print("done", flush=True)
