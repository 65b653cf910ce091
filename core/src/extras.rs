//! Attributes of an object for which its type has no field.

use std::fmt;

/// Attributes that an object on the host has and that no wanted one can have, in the words of the tool that sets them:
/// `advmss 1400`.
///
/// A reader notes here every attribute that it has no field for. They are no part of a spec: an object with extras differs
/// from every wanted one, and is made as that is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extras(Option<Box<str>>);

impl Extras {
    /// Adds one.
    pub fn note(&mut self, what: impl fmt::Display) {
        let text = match self.0.take() {
            Some(known) => format!("{known} {what}"),
            None => what.to_string(),
        };
        self.0 = Some(text.into());
    }

    /// Adds one if it is `there`.
    pub fn note_if(&mut self, there: bool, what: impl fmt::Display) {
        if there {
            self.note(what);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Attributes besides those that a spec can say. Only an undo wants an object that has some, since it was there before: they may
/// stay, or be mended by now.
pub trait Mendable: PartialEq + Default {
    /// Whether `found` is as wanted here.
    fn accepts(&self, found: &Self) -> bool {
        found == self || *found == Self::default()
    }
}

impl Mendable for Extras {}

/// All of them, a blank before each.
impl fmt::Display for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_deref().map_or(Ok(()), |text| write!(f, " {text}"))
    }
}
