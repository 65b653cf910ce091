//! From one secret per pair of hosts a key and an SPI for every state: HKDF with SHA-256 (RFC 5869).
//!
//! ```text
//! PRK = HKDF-Extract(salt = "guestnet xfrm v1", IKM = the pair secret)
//! SPI = first 4 bytes, big-endian, not below 256, of HKDF-Expand(PRK, "spi" | state, 32)
//! key = HKDF-Expand(PRK, "key" | state | SPI (4) | length of the key material (2), that length)
//!
//! state = src | dst | inner (1) | tunnel (4) | generation (4)
//! src, dst = 4 or 6 (1) | the address, IPv4 in the first 4 bytes and zeros behind (16)
//! inner = 0 for both families, 4 or 6 for one
//! ```
//!
//! Numbers are big-endian. All of it has a fixed length, so no two states have the same info. Nothing in it
//! depends on the end that computes it: `src` and `dst` are those of the state, which is outbound at one end and
//! inbound at the other. So both ends come to the same key, and each direction has its own.

use std::net::IpAddr;

use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::key::Key;
use crate::secret::{Bytes, PairSecret};
use crate::selector::Selector;
use crate::spi::Spi;

/// The families of packets that a state carries.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Inner {
    /// IPv4 and IPv6 (`XFRM_STATE_AF_UNSPEC`).
    Both,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Inner {
    /// As a field of a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// The selector of a state that carries them.
    pub fn selector(self) -> Option<Selector> {
        match self {
            Self::Both => None,
            Self::Ipv4 => Some(Selector::ipv4()),
            Self::Ipv6 => Some(Selector::ipv6()),
        }
    }
}

/// What distinguishes a state from all others of the same pair of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The outer source.
    pub src: IpAddr,
    /// The outer destination.
    pub dst: IpAddr,
    /// What the state carries.
    pub inner: Inner,
    /// The tunnel, where there are several between the two addresses.
    pub tunnel: u32,
    /// Counts up with every change of keys.
    pub generation: u32,
}

const SALT: &[u8] = b"guestnet xfrm v1";

impl Purpose {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(43);
        for address in [self.src, self.dst] {
            let (family, v6) = match address {
                IpAddr::V4(v4) => {
                    let mut padded = [0; 16];
                    padded[..4].copy_from_slice(&v4.octets());
                    (4, padded)
                }
                IpAddr::V6(v6) => (6, v6.octets()),
            };
            bytes.push(family);
            bytes.extend(v6);
        }
        bytes.push(match self.inner {
            Inner::Both => 0,
            Inner::Ipv4 => 4,
            Inner::Ipv6 => 6,
        });
        bytes.extend(self.tunnel.to_be_bytes());
        bytes.extend(self.generation.to_be_bytes());
        bytes
    }

    /// The state's SPI.
    pub fn spi(&self, prk: &Prk) -> Spi {
        let okm = prk.expand(&[b"spi", &self.bytes()], 32);
        let (words, _) = okm.as_chunks::<4>();
        // Eight reserved numbers in a row: once in 2^192 secrets.
        words.iter().map(|word| u32::from_be_bytes(*word)).find_map(Spi::new).unwrap_or(Spi::LOWEST)
    }

    /// The state's key.
    pub fn key(&self, prk: &Prk, spi: Spi, algorithm: Algorithm) -> Key {
        let length = algorithm.key_length();
        let info: [&[u8]; 4] =
            [b"key", &self.bytes(), &spi.get().to_be_bytes(), &(length as u16).to_be_bytes()];
        Key::derived(Bytes::new(std::mem::take(&mut *prk.expand(&info, length))))
    }
}

/// What the secret of a pair of hosts comes to, the PRK of HKDF: all keys and SPIs of the pair are made from it.
pub struct Prk(Hkdf<Sha256>);

impl Prk {
    /// The extraction, once for many states.
    pub fn of(secret: &PairSecret) -> Self {
        Self(Hkdf::new(Some(SALT), secret.expose()))
    }

    fn expand(&self, info: &[&[u8]], length: usize) -> Zeroizing<Vec<u8>> {
        let mut okm = Zeroizing::new(vec![0; length]);
        // HKDF refuses only lengths above 255 hashes, 8160 bytes; those above are constants.
        self.0.expand_multi_info(info, &mut okm).expect("a length that HKDF can make");
        okm
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn prk() -> Prk {
        Prk::of(&"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".parse().unwrap())
    }

    fn purpose() -> Purpose {
        Purpose {
            src: "2a01:4f8:242:4f68:3f93::".parse().unwrap(),
            dst: "2a01:4f8:10a:128b:fc0f::".parse().unwrap(),
            inner: Inner::Both,
            tunnel: 0,
            generation: 7,
        }
    }

    /// Computed by `tests/derive.py`, which is HKDF written out over Python's `hmac`.
    #[test]
    fn as_computed_independently() {
        let (prk, purpose) = (prk(), purpose());
        assert_eq!(purpose.spi(&prk).to_string(), "0xa51ac09a");
        let key = |p: Purpose, a| p.key(&prk, p.spi(&prk), a);
        let hex = |text: &str| text.parse::<Key>().unwrap();
        assert_eq!(
            key(purpose, Algorithm::Aes256Gcm),
            hex("240695a567c34521c7280f9f7b0feae1cd131d50a883c1e1f4d0e93d905a1b0faa75bf25")
        );
        let v4 = Purpose {
            src: "192.0.2.1".parse().unwrap(),
            dst: "198.51.100.2".parse().unwrap(),
            inner: Inner::Ipv4,
            tunnel: 3,
            generation: 0,
        };
        assert_eq!(v4.spi(&prk).to_string(), "0xe20893b1");
        assert_eq!(key(v4, Algorithm::Aes128Gcm), hex("5b4ad90b68db60b46c4efcfe4e8dea932e8b51e2"));
    }

    #[test]
    fn everything_that_distinguishes_states_changes_key_and_spi() {
        let (prk, one) = (prk(), purpose());
        let others = [
            one,
            Purpose { src: one.dst, dst: one.src, ..one },
            Purpose { src: "192.0.2.1".parse().unwrap(), ..one },
            Purpose { inner: Inner::Ipv4, ..one },
            Purpose { inner: Inner::Ipv6, ..one },
            Purpose { tunnel: 1, ..one },
            Purpose { generation: 8, ..one },
        ];
        let prints = |p: &Purpose| p.key(&prk, Spi::LOWEST, Algorithm::Aes256Gcm).fingerprint();
        assert_eq!(others.iter().map(prints).collect::<BTreeSet<_>>().len(), others.len());
        assert_eq!(others.iter().map(|p| p.spi(&prk)).collect::<BTreeSet<_>>().len(), others.len());
        let short = one.key(&prk, Spi::LOWEST, Algorithm::Aes128Gcm);
        assert_ne!(&one.key(&prk, Spi::LOWEST, Algorithm::Aes256Gcm).expose()[..20], short.expose());
    }
}
