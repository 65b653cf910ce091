"""Computes the test vectors of src/derive.rs: HKDF (RFC 5869) written out over Python's hmac.

Run: python3 tests/derive.py
"""

import hashlib
import hmac
import ipaddress
import struct


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    prk = hmac.new(b"guestnet xfrm v1", secret, hashlib.sha256).digest()
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm, counter = okm + block, counter + 1
    return okm[:length]


def address(text: str) -> bytes:
    ip = ipaddress.ip_address(text)
    return bytes([ip.version]) + ip.packed.ljust(16, b"\0")


def show(src: str, dst: str, inner: int, tunnel: int, generation: int, length: int) -> None:
    secret = bytes(range(32))
    state = address(src) + address(dst) + struct.pack(">BII", inner, tunnel, generation)
    spis = struct.unpack(">8I", hkdf(secret, b"spi" + state, 32))
    spi = next(spi for spi in spis if spi >= 256)
    key = hkdf(secret, b"key" + state + struct.pack(">IH", spi, length), length)
    print(f"0x{spi:08x} {key.hex()}")


show("2a01:4f8:242:4f68:3f93::", "2a01:4f8:10a:128b:fc0f::", 0, 0, 7, 36)
show("192.0.2.1", "198.51.100.2", 4, 3, 0, 20)
