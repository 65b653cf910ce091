//! Netlink, as far as guestnet needs it: send many messages at once, learn which of them were refused and why,
//! and read dumps that are whole.

mod attribute;
mod dump;
mod lasting;
mod reply;
mod session;
mod wire;

pub(crate) use attribute::{attribute, put};
pub use dump::Dump;
pub(crate) use reply::replies;
pub use reply::{Attributes, Refusal, Reply, number, text};
pub use session::Session;

#[cfg(test)]
mod tests {
    use super::Session;
    use crate::kind::{Message, Protocol};

    #[test]
    fn what_is_secret_is_wiped_when_it_was_sent_and_what_is_not_stays() {
        // No kernel has such a message: it is refused, and nothing happens.
        let (kind, payload) = (u16::MAX, [7; 32]);
        let mut session = Session::open(Protocol::Route).unwrap();
        for secret in [true, false] {
            let message = if secret { Message::secret } else { Message::new };
            let mut messages = [message(kind, 0, &payload)];
            assert_eq!(session.exchange(&mut messages).unwrap().len(), 1);
            let left = &messages[0].bytes()[16..];
            assert_eq!(left, if secret { [0; 32] } else { payload });
        }
    }
}
