//! Answers without keys.

use crate::kind::{HEADER, Protocol};

const XFRM_MSG_NEWSA: u16 = 16;
const XFRM_MSG_NEWPOLICY: u16 = 19;
const XFRM_MSG_NEWSPDINFO: u16 = 36;
const XFRM_MSG_GETDEFAULT: u16 = 40;
/// `sizeof(struct xfrm_usersa_info)`.
const USERSA_INFO: usize = 224;

const XFRMA_ALG_AUTH: u16 = 1;
const XFRMA_ALG_CRYPT: u16 = 2;
const XFRMA_ALG_COMP: u16 = 3;
const XFRMA_ALG_AEAD: u16 = 18;
const XFRMA_ALG_AUTH_TRUNC: u16 = 20;

/// The name of an algorithm and the length of its key, which every `struct xfrm_algo…` begins with.
const ALGORITHM: usize = 64 + 4;

/// Fills with zeros the keys in messages of `protocol`, and all of a message of IPsec that is not known to have none.
pub(super) fn keys(protocol: Protocol, messages: &mut [u8]) {
    if protocol != Protocol::Xfrm {
        return;
    }
    let mut rest = messages;
    loop {
        let length = rest.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize);
        if length < HEADER || length > rest.len() {
            // What is no message may be a part of one.
            return rest.fill(0);
        }
        let end = length.next_multiple_of(4).min(rest.len());
        let (message, behind) = std::mem::take(&mut rest).split_at_mut(end);
        blank(message);
        rest = behind;
        if rest.is_empty() {
            return;
        }
    }
}

fn blank(message: &mut [u8]) {
    let (header, payload) = message.split_at_mut(HEADER);
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    match kind {
        XFRM_MSG_NEWSA => {
            let attributes = payload.len().min(USERSA_INFO);
            algorithms(&mut payload[attributes..]);
        }
        XFRM_MSG_NEWPOLICY | XFRM_MSG_NEWSPDINFO | XFRM_MSG_GETDEFAULT => {}
        // The kernel's own, as the end of a dump, quote questions, which have no keys.
        kind if i32::from(kind) < libc::NLMSG_MIN_TYPE => {}
        _ => payload.fill(0),
    }
}

fn algorithms(attributes: &mut [u8]) {
    let mut rest = attributes;
    while let Some([a, b, c, d]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let kind = u16::from_ne_bytes([*c, *d]) & 0x3fff;
        let Some(value) = rest.get_mut(4..length) else { return rest.fill(0) };
        let shown = match kind {
            XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT | XFRMA_ALG_COMP => ALGORITHM,
            // The length of the integrity check value comes before the key.
            XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => ALGORITHM + 4,
            _ => value.len(),
        };
        value.get_mut(shown..).unwrap_or_default().fill(0);
        let next = length.next_multiple_of(4).min(rest.len());
        rest = &mut std::mem::take(&mut rest)[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Message;
    use crate::netlink::attribute;

    const KEY: [u8; 20] = [0x5e; 20];

    fn state(kind: u16, between: usize) -> Vec<u8> {
        let mut algorithm = vec![b'n'; 64];
        algorithm.extend(160_u32.to_ne_bytes());
        algorithm.extend(vec![7; between]);
        algorithm.extend(KEY);
        let payload = [vec![1; USERSA_INFO], attribute(29, &[9; 8]), attribute(kind, &algorithm)].concat();
        Message::new(XFRM_MSG_NEWSA, 0, &payload).bytes().to_vec()
    }

    fn has_key(bytes: &[u8]) -> bool {
        bytes.windows(2).any(|two| two == [0x5e; 2])
    }

    #[test]
    fn keys_go_and_all_else_stays() {
        for (kind, between) in [(1, 0), (2, 0), (18, 4), (20, 4)] {
            let whole = [state(kind, between), state(kind, between)].concat();
            let mut blanked = whole.clone();
            keys(Protocol::Xfrm, &mut blanked);
            let expected: Vec<u8> = whole.iter().map(|byte| if *byte == 0x5e { 0 } else { *byte }).collect();
            assert_eq!(blanked, expected, "{kind}");
            let mut other = whole.clone();
            keys(Protocol::Route, &mut other);
            assert_eq!(other, whole);
        }
    }

    #[test]
    fn what_is_damaged_or_not_known_loses_more() {
        let whole = state(18, 4);
        for end in 1..whole.len() {
            let mut torn = whole[..end].to_vec();
            keys(Protocol::Xfrm, &mut torn);
            assert!(!has_key(&torn), "up to {end}");
        }
        let mut other = Message::new(0x1a, 0, &KEY).bytes().to_vec();
        keys(Protocol::Xfrm, &mut other);
        assert!(!has_key(&other));
        // An attribute that is longer than its message.
        let mut lies = whole;
        let at = HEADER + USERSA_INFO + 12;
        lies[at..at + 2].copy_from_slice(&60_000_u16.to_ne_bytes());
        keys(Protocol::Xfrm, &mut lies);
        assert!(!has_key(&lies));
    }
}
