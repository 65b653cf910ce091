"""Decrypts captured ESP with scapy, and counts the packets in which the expected words stand.

Takes on standard input {"states": [{"spi", "key"}], "frames": [hex], "inside": words}; prints the count. Fails on a
frame of an unknown SPI or one that does not authenticate.
"""

import json
import sys

from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether

given = json.load(sys.stdin)
states = {
    state["spi"]: SecurityAssociation(
        ESP, spi=state["spi"], crypt_algo="AES-GCM", crypt_key=bytes.fromhex(state["key"]), esn_en=True, esn=0
    )
    for state in given["states"]
}
count = 0
for frame in given["frames"]:
    packet = Ether(bytes.fromhex(frame))[IPv6]
    inner = states[packet[ESP].spi].decrypt(packet)
    if given["inside"].encode() in bytes(inner):
        count += 1
print(count)
