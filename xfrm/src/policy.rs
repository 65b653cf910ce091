//! Policies: which packets are for which state (RFC 4301's security policy database).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Extras, Mendable, Object};
use serde::{Deserialize, Serialize};

use crate::selector::{Mark, Selector};
use crate::spi::Spi;
use crate::state::{Mode, check_outer, check_reqid};

mod kernel;

pub(crate) use kernel::nobodys;

/// A policy: `ip xfrm policy add SELECTOR dir DIR priority PRIORITY tmpl …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The packets that it is for.
    pub selector: Selector,
    /// On which of their ways.
    pub direction: Direction,
    /// Whether they may go at all.
    #[serde(default, skip_serializing_if = "Action::is_allow")]
    #[schemars(extend("default" = Action::default()))]
    pub action: Action,
    /// Of several policies for a packet the one with the lowest number is taken.
    #[serde(default)]
    pub priority: u32,
    /// What is done to the packets, or must have been done to them; at most 6. A policy that allows and has none
    /// lets them pass in clear. A blocking policy does not use its templates; in a namespace that guestnet shares
    /// it needs one all the same, for the reqid by which guestnet knows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// It is for packets with this mark only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The id of the xfrm interface whose packets it is for; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_id: Option<NonZeroU32>,
    /// Flags, limits and attributes of a policy on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub extras: Extras,
}

/// The way of the packets that a policy is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the host itself.
    In,
    /// Leaving, whoever sent them.
    Out,
    /// Through the host.
    Fwd,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Fwd => "fwd",
        })
    }
}

/// Whether packets may go.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// As the templates say.
    #[default]
    Allow,
    /// No.
    Block,
}

impl Action {
    fn is_allow(&self) -> bool {
        *self == Self::Allow
    }
}

/// Which states a policy takes, and what outer addresses they give its packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The outer source.
    pub src: IpAddr,
    /// The outer destination.
    pub dst: IpAddr,
    /// The SPI of the state; left out: any of the reqid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spi: Option<Spi>,
    /// The reqid of the states; 0: any.
    #[serde(default)]
    pub reqid: u32,
    /// The mode of the states.
    #[serde(default, skip_serializing_if = "Mode::is_tunnel")]
    #[schemars(extend("default" = Mode::default()))]
    pub mode: Mode,
    /// Whether a packet goes without it if there is no such state.
    #[serde(default, skip_serializing_if = "Level::is_required")]
    #[schemars(extend("default" = Level::default()))]
    pub level: Level,
}

/// Whether a template has to be followed.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It does.
    #[default]
    Required,
    /// Where there is a state for it. The kernel refuses this for tunnels, outbound.
    Use,
}

impl Level {
    fn is_required(&self) -> bool {
        *self == Self::Required
    }
}

/// A policy is identified by its packets, their direction, mark and interface id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyKey {
    /// The packets' way.
    pub direction: Direction,
    /// The packets.
    pub selector: Selector,
    /// Their mark.
    pub mark: Option<Mark>,
    /// The xfrm interface.
    pub if_id: Option<NonZeroU32>,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dir {}", self.selector, self.direction)?;
        if let Some(mark) = self.mark {
            write!(f, " {mark}")?;
        }
        self.if_id.map_or(Ok(()), |id| write!(f, " if_id {id:#x}"))
    }
}

/// The kernel's `XFRM_MAX_DEPTH`.
const MOST_TEMPLATES: usize = 6;

impl Policy {
    /// A policy that sends packets through `template`, with priority 0.
    pub fn through(selector: Selector, direction: Direction, template: Template) -> Self {
        Self {
            selector,
            direction,
            action: Action::Allow,
            priority: 0,
            templates: vec![template],
            mark: None,
            if_id: None,
            extras: Extras::default(),
        }
    }

    /// Notes what is wrong with it. For `reqids` see [`crate::State::check`].
    pub fn check(&self, reqids: &RangeInclusive<u32>, path: &Path, problems: &mut Problems) {
        self.selector.check(&path.field("selector"), problems);
        let list = path.field("templates");
        if self.templates.len() > MOST_TEMPLATES {
            problems.at(
                &list,
                format!("the kernel takes {MOST_TEMPLATES} templates, not {}", self.templates.len()),
            );
        }
        if self.templates.is_empty() && !reqids.contains(&0) {
            let words = "in a namespace that guestnet shares it knows a policy by the reqid of a template; there is none";
            problems.at(&list, words);
        }
        for (n, template) in self.templates.iter().enumerate() {
            template.check(reqids, self.direction, &list.index(n), problems);
        }
        if let Some(mark) = self.mark {
            mark.check(&path.field("mark"), problems);
        }
    }

    /// The line that would make it, for review.
    pub fn to_ip(&self) -> String {
        format!("ip xfrm policy add {self}")
    }
}

impl Template {
    /// ESP in tunnel mode from `src` to `dst` by any state with `reqid`.
    pub const fn tunnel(src: IpAddr, dst: IpAddr, reqid: u32) -> Self {
        Self { src, dst, spi: None, reqid, mode: Mode::Tunnel, level: Level::Required }
    }

    fn check(
        &self,
        reqids: &RangeInclusive<u32>,
        direction: Direction,
        path: &Path,
        problems: &mut Problems,
    ) {
        if self.mode == Mode::Tunnel {
            check_outer(self.src, self.dst, &path.field("dst"), problems);
        }
        check_reqid(self.reqid, reqids, &path.field("reqid"), problems);
        if self.level == Level::Use && self.mode == Mode::Tunnel && direction == Direction::Out {
            problems.at(&path.field("level"), "packets that leave through a tunnel cannot go without it");
        }
    }
}

impl Object for Policy {
    type Key = PolicyKey;
    const KIND: &'static str = "xfrm policy";

    fn key(&self) -> PolicyKey {
        let Self { selector, direction, mark, if_id, .. } = self;
        PolicyKey { selector: selector.clone(), direction: *direction, mark: *mark, if_id: *if_id }
    }

    fn accepts(&self, found: &Self) -> bool {
        let alike = || Self { extras: found.extras.clone(), ..self.clone() };
        self == found || self.extras.accepts(&found.extras) && alike() == *found
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)?;
        f.write_str(if self.action.is_allow() { "" } else { " action block" })?;
        write!(f, " priority {}", self.priority)?;
        self.templates.iter().try_for_each(|template| write!(f, " tmpl {template}"))?;
        self.extras.fmt(f)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src {} dst {} proto esp", self.src, self.dst)?;
        if let Some(spi) = self.spi {
            write!(f, " spi {spi}")?;
        }
        write!(f, " reqid {} mode {}", self.reqid, self.mode)?;
        f.write_str(if self.level.is_required() { "" } else { " level use" })
    }
}
