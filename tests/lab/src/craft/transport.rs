//! UDP and TCP: RFC 768, RFC 9293.

use std::net::IpAddr;

use super::{put, transport_checksum};

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// The flag FIN.
pub const FIN: u8 = 1;
/// The flag SYN.
pub const SYN: u8 = 2;
/// The flag RST.
pub const RST: u8 = 4;
/// The flag ACK.
pub const ACK: u8 = 16;

/// A datagram.
pub fn udp(source: IpAddr, destination: IpAddr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    put(&mut bytes, 0, ports.0);
    put(&mut bytes, 2, ports.1);
    put(&mut bytes, 4, (8 + data.len()) as u16);
    bytes.extend(data);
    let sum = transport_checksum(source, destination, UDP, &bytes);
    put(&mut bytes, 6, if sum == 0 { 0xffff } else { sum });
    bytes
}

/// A segment without data.
pub fn tcp(
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    flags: u8,
    numbers: (u32, u32),
) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    put(&mut bytes, 0, ports.0);
    put(&mut bytes, 2, ports.1);
    bytes[4..8].copy_from_slice(&numbers.0.to_be_bytes());
    bytes[8..12].copy_from_slice(&numbers.1.to_be_bytes());
    bytes[12] = 5 << 4;
    bytes[13] = flags;
    put(&mut bytes, 14, 64_000);
    let sum = transport_checksum(source, destination, TCP, &bytes);
    put(&mut bytes, 16, sum);
    bytes
}
