//! A recording, as it is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Machine, blank};
use crate::kind::{HEADER, Protocol};
use crate::name::{Netns, NetnsName};

/// The version of the form.
const VERSION: u32 = 1;

/// What a host's kernel has answered: a JSON document (`serde`). Holds no keys; it has addresses, names and rules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    version: u32,
    namespaces: Vec<Recorded>,
    /// How often each question was asked when this is played.
    #[serde(skip)]
    times: Mutex<HashMap<(usize, usize), usize>>,
}

/// What was recorded of one namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Its name; left out: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<NetnsName>,
    cookie: u64,
    #[serde(default)]
    questions: Vec<Question>,
    /// By their paths; nothing of a file that could not be read.
    #[serde(default)]
    files: BTreeMap<String, Option<String>>,
}

/// A question, and the answers to it in the order in which it was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    protocol: Spoken,
    /// Numbered from 0 on, as the answers are.
    messages: Hex,
    /// Datagrams, each time that it was asked.
    answers: Vec<Vec<Hex>>,
    /// The number that its first message had the last time.
    #[serde(skip)]
    first: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spoken {
    Route,
    Xfrm,
    Netfilter,
}

impl From<Protocol> for Spoken {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Route => Self::Route,
            Protocol::Xfrm => Self::Xfrm,
            Protocol::Netfilter => Self::Netfilter,
        }
    }
}

/// Bytes, as hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hex(Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}", Digits(&self.0)))
    }
}

struct Digits<'a>(&'a [u8]);

impl std::fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (pairs, rest) = text.as_bytes().as_chunks();
        let byte = |pair: &[u8; 2]| {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? * 16 + low?).ok()
        };
        let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("bytes are pairs of hex digits"))
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { version: VERSION, namespaces: Vec::new(), times: Mutex::default() }
    }
}

impl Clone for Recording {
    /// A copy is played from its beginning.
    fn clone(&self) -> Self {
        Self { version: self.version, namespaces: self.namespaces.clone(), times: Mutex::default() }
    }
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// Words that say why it is none.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let recording: Self = serde_json::from_str(text).map_err(|e| format!("this is no recording: {e}"))?;
        if recording.version != VERSION {
            return Err(format!(
                "the recording has version {}, and this guestnet reads version {VERSION}",
                recording.version
            ));
        }
        Ok(recording)
    }

    fn place(&self, netns: &Netns) -> Option<usize> {
        self.namespaces.iter().position(|recorded| match (netns, &recorded.name) {
            (Netns::Host, None) => true,
            (Netns::Named(name), Some(known)) => name == known,
            _ => false,
        })
    }

    fn of(&mut self, netns: &Netns) -> Option<&mut Recorded> {
        let place = self.place(netns)?;
        self.namespaces.get_mut(place)
    }

    pub(super) fn enter(&mut self, netns: &Netns, cookie: u64) {
        match self.of(netns) {
            Some(recorded) => recorded.cookie = cookie,
            None => {
                let name = match netns {
                    Netns::Host => None,
                    Netns::Named(name) => Some(name.clone()),
                };
                self.namespaces.push(Recorded {
                    name,
                    cookie,
                    questions: Vec::new(),
                    files: BTreeMap::new(),
                });
            }
        }
    }

    pub(super) fn asked(&mut self, netns: &Netns, protocol: Protocol, messages: &[u8]) {
        let Some(recorded) = self.of(netns) else { return };
        let first = number_of(messages);
        let (protocol, messages) = (Spoken::from(protocol), Hex(numbered(messages, first.wrapping_neg())));
        let known = recorded.questions.iter().position(|q| q.protocol == protocol && q.messages == messages);
        let mut question = match known {
            Some(place) => recorded.questions.remove(place),
            None => Question { protocol, messages, answers: Vec::new(), first },
        };
        question.first = first;
        question.answers.push(Vec::new());
        // The last is the one that is answered.
        recorded.questions.push(question);
    }

    pub(super) fn answered(&mut self, netns: &Netns, protocol: Protocol, datagram: &[u8]) {
        let last = self.of(netns).and_then(|recorded| recorded.questions.last_mut());
        let Some(question) = last.filter(|question| question.protocol == protocol.into()) else { return };
        let mut datagram = numbered(datagram, question.first.wrapping_neg());
        blank::keys(protocol, &mut datagram);
        if let Some(answer) = question.answers.last_mut() {
            answer.push(Hex(datagram));
        }
    }

    pub(super) fn was_read(&mut self, netns: &Netns, path: &str, text: Option<&str>) {
        if let Some(recorded) = self.of(netns) {
            recorded.files.insert(path.to_owned(), text.map(str::to_owned));
        }
    }
}

impl Machine for Recording {
    /// What was answered the first time, and so on; the last time for good.
    fn answer(&self, netns: &Netns, protocol: Protocol, question: &[u8]) -> Option<Vec<Vec<u8>>> {
        let here = self.place(netns)?;
        let first = number_of(question);
        let asked = Hex(numbered(question, first.wrapping_neg()));
        let questions = &self.namespaces.get(here)?.questions;
        let n = questions.iter().position(|q| q.protocol == protocol.into() && q.messages == asked)?;
        let answers = &questions.get(n)?.answers;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let time = times.entry((here, n)).or_default();
        let answer = answers.get(*time).or(answers.last())?;
        *time += 1;
        Some(answer.iter().map(|Hex(datagram)| numbered(datagram, first)).collect())
    }

    /// It was asked something in it.
    fn speaks(&self, protocol: Protocol) -> bool {
        let mut questions = self.namespaces.iter().flat_map(|recorded| &recorded.questions);
        questions.any(|question| question.protocol == protocol.into())
    }

    fn file(&self, netns: &Netns, path: &str) -> Option<String> {
        self.namespaces.get(self.place(netns)?)?.files.get(path)?.clone()
    }

    fn cookie(&self, netns: &Netns) -> Option<u64> {
        Some(self.namespaces.get(self.place(netns)?)?.cookie)
    }

    fn names(&self) -> Vec<NetnsName> {
        self.namespaces.iter().filter_map(|recorded| recorded.name.clone()).collect()
    }
}

/// Where in a message its number is, and behind it who asked.
const NUMBER: std::ops::Range<usize> = 8..12;

/// The number of the first message.
fn number_of(messages: &[u8]) -> u32 {
    messages.get(NUMBER).and_then(|number| number.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// `messages` with numbers that are `more`, and without who asked.
fn numbered(messages: &[u8], more: u32) -> Vec<u8> {
    let mut bytes = messages.to_vec();
    let mut rest = bytes.as_mut_slice();
    while let Some(header) = rest.get_mut(..HEADER) {
        let number = number_of(header).wrapping_add(more);
        header[NUMBER].copy_from_slice(&number.to_ne_bytes());
        header[NUMBER.end..].fill(0);
        let length = rest.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize);
        let next = length.max(HEADER).next_multiple_of(4).min(rest.len());
        rest = &mut std::mem::take(&mut rest)[next..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Message;

    fn message(kind: u16, number: u32, payload: u8) -> Vec<u8> {
        let mut bytes = Message::new(kind, 0, &[payload; 4]).bytes().to_vec();
        bytes[NUMBER].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_question_is_answered_as_it_was_with_the_numbers_of_who_asks() {
        let mut recording = Recording::default();
        let (host, guest) = (Netns::Host, Netns::Named("web1".parse().unwrap()));
        recording.enter(&host, 1);
        recording.enter(&guest, 7);
        for (number, payload) in [(5, 1), (9, 2)] {
            let question = [message(18, number, 0), message(18, number + 1, 3)].concat();
            recording.asked(&host, Protocol::Route, &question);
            recording.answered(&host, Protocol::Route, &message(16, number + 1, payload));
        }
        recording.was_read(&guest, "/proc/x", Some("1\n"));
        let text = serde_json::to_string(&recording).unwrap();
        let played = Recording::from_json(&text).unwrap();
        assert_eq!(serde_json::to_string(&played).unwrap(), text);

        let question = [message(18, u32::MAX, 0), message(18, 0, 3)].concat();
        for payload in [1, 2, 2] {
            let answers = played.answer(&host, Protocol::Route, &question).unwrap();
            assert_eq!(answers, [message(16, 0, payload)]);
        }
        assert!(played.answer(&guest, Protocol::Route, &question).is_none());
        assert!(played.answer(&host, Protocol::Xfrm, &question).is_none());
        assert_eq!((played.cookie(&host), played.cookie(&guest)), (Some(1), Some(7)));
        assert_eq!(played.names(), ["web1".parse().unwrap()]);
        assert_eq!(played.file(&guest, "/proc/x").as_deref(), Some("1\n"));
        assert_eq!(played.file(&host, "/proc/x"), None);
    }

    #[test]
    fn what_is_no_recording_is_said_to_be_none() {
        assert!(Recording::from_json("{}").unwrap_err().contains("no recording"));
        let later = r#"{"version": 2, "namespaces": []}"#;
        assert!(Recording::from_json(later).unwrap_err().contains("version 2"));
        let odd = r#"{"version": 1, "namespaces": [{"cookie": 1, "questions":
                      [{"protocol": "route", "messages": "0", "answers": []}]}]}"#;
        assert!(Recording::from_json(odd).unwrap_err().contains("hex"));
    }
}
