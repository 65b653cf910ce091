//! A case: a frame that has to pass, and its twins that have to be dropped.

use crate::net::Who;

/// What is sent: frames, the last of them or all together judged.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Who sends it.
    pub from: Who,
    /// What is sent before, and not judged: what opens a connection.
    pub before: Vec<(Who, Vec<u8>)>,
    /// What is judged: one frame, or the fragments of one packet, of which the first is.
    pub frames: Vec<Vec<u8>>,
}

/// What has to be dropped.
#[derive(Clone, Debug)]
pub struct Drop {
    /// The paragraph of the contract that does it; several, where several forbid it and the contract does not say which
    /// of them comes first.
    pub paragraph: &'static str,
    /// How it differs from its twin.
    pub detail: String,
    /// The frame.
    pub shot: Shot,
    /// Where it comes out without a filter; left out: where its twin does.
    pub to: Option<Who>,
    /// Why it does not come out even without a filter.
    pub unseen: Option<&'static str>,
}

/// A frame that passes, and its twins that do not.
#[derive(Clone, Debug)]
pub struct Case {
    /// The paragraph that lets it pass.
    pub paragraph: &'static str,
    /// What it is.
    pub name: String,
    /// The frame that passes.
    pub good: Shot,
    /// Where it comes out.
    pub to: Who,
    /// Where it must not come out.
    pub never: Vec<Who>,
    /// The twins.
    pub drops: Vec<Drop>,
}

impl Shot {
    /// One frame.
    pub fn new(from: Who, frame: Vec<u8>) -> Self {
        Self { from, before: Vec::new(), frames: vec![frame] }
    }

    /// After these.
    pub fn after(mut self, before: Vec<(Who, Vec<u8>)>) -> Self {
        self.before = before;
        self
    }
}

impl Case {
    /// `frame`, sent by `from`, comes out at `to`.
    pub fn new(paragraph: &'static str, name: impl Into<String>, from: Who, to: Who, frame: Vec<u8>) -> Self {
        Self::of(paragraph, name, to, Shot::new(from, frame))
    }

    /// `shot` comes out at `to`.
    pub fn of(paragraph: &'static str, name: impl Into<String>, to: Who, good: Shot) -> Self {
        Self { paragraph, name: name.into(), good, to, never: Vec::new(), drops: Vec::new() }
    }

    /// The frame must not come out at `who`.
    pub fn never_at(mut self, who: &[Who]) -> Self {
        self.never.extend(who);
        self
    }

    /// But `frame` is dropped by `paragraph`.
    pub fn but(self, paragraph: &'static str, detail: impl Into<String>, frame: Vec<u8>) -> Self {
        let from = self.good.from;
        self.but_shot(paragraph, detail, Shot::new(from, frame))
    }

    /// But `shot` is dropped by `paragraph`.
    pub fn but_shot(mut self, paragraph: &'static str, detail: impl Into<String>, shot: Shot) -> Self {
        self.drops.push(Drop { paragraph, detail: detail.into(), shot, to: None, unseen: None });
        self
    }

    /// Without a filter the twin before this comes out at `who`.
    pub fn seen_at(mut self, who: Who) -> Self {
        if let Some(last) = self.drops.last_mut() {
            last.to = Some(who);
        }
        self
    }

    /// The twin before this does not come out even without a filter, because of `reason`, where `condition` holds.
    pub fn unseen_if(mut self, condition: bool, reason: &'static str) -> Self {
        if let Some(last) = self.drops.last_mut().filter(|_| condition) {
            last.unseen = Some(reason);
        }
        self
    }
}
