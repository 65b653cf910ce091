"""What a checker of types has to refuse; each line says why."""

from guestnet import Guest, Host, HostSpec, Interface, Nat, TunnelSpec

Guest("web1")  # by name
Guest(nmae="web1")  # no such field
Guest(name="web1", placement="elsewhere")  # none of the choices
Interface(name="tap0", mtu="large")  # a number
Interface(name="tap0", private_ipv4=5)  # an address
Nat(mode="none")  # none of the choices
TunnelSpec(local="::1", remote="::2")  # pairs is missing
Guest(name="web1").name = "web2"  # cannot be changed
Host().apply({"version": 1})  # no HostSpec
len(Interface(name="tap0").private_ipv4)  # an object of ipaddress
HostSpec.from_json("{}").guests.append(Guest(name="x"))  # a tuple
