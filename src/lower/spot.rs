//! Where in a spec objects come from: a number for each object, and a path only where one is shown.

use guestnet_core::Path;

/// A place in a spec, extended like a [`Path`], but of few bytes, and not yet text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot([Step; 3]);

/// A field, and which element of it where it is a list.
#[derive(Clone, Copy, Debug)]
struct Step {
    field: &'static str,
    index: u32,
}

/// The index of a field that is taken as a whole.
const WHOLE: u32 = u32::MAX;

impl Default for Step {
    fn default() -> Self {
        Self { field: "", index: WHOLE }
    }
}

impl Step {
    fn is(self, other: Self) -> bool {
        self.index == other.index && std::ptr::eq(self.field, other.field)
    }
}

impl Spot {
    /// The spec itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The field `name` of the value here. What lies deeper than three fields is told by what surrounds it.
    pub(crate) fn field(&self, name: &'static str) -> Self {
        let mut deeper = *self;
        if let Some(free) = deeper.0.iter_mut().find(|step| step.field.is_empty()) {
            free.field = name;
        }
        deeper
    }

    /// The element `index` of the list here.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut deeper = *self;
        let last = deeper.0.iter_mut().rfind(|step| !step.field.is_empty());
        if let Some(last) = last.filter(|last| last.index == WHOLE) {
            last.index = u32::try_from(index).unwrap_or(WHOLE);
        }
        deeper
    }

    /// The same as text.
    pub(crate) fn path(&self) -> Path {
        self.0.iter().filter(|step| !step.field.is_empty()).fold(Path::root(), |path, step| {
            let path = path.field(step.field);
            if step.index == WHOLE { path } else { path.index(step.index as usize) }
        })
    }

    fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(step, other)| step.is(other))
    }
}

/// The origins of the objects of a spec: from [`FIRST`] on spots, below it places in lists of objects that the spec gives
/// as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Spots(Vec<Spot>);

const FIRST: u32 = 1 << 31;

impl Spots {
    /// The number of `spot`.
    pub(super) fn origin(&mut self, spot: &Spot) -> u32 {
        // Objects that come from one place are made one after the other.
        if !self.0.last().is_some_and(|last| last.is(spot)) {
            self.0.push(*spot);
        }
        FIRST + (self.0.len() - 1) as u32
    }

    /// The place that `origin` stands for; `list` is where objects of that kind are given as they are.
    pub(super) fn path(&self, origin: u32, list: impl FnOnce() -> Path) -> Option<Path> {
        match origin.checked_sub(FIRST) {
            None => Some(list().index(origin as usize)),
            Some(n) => self.0.get(n as usize).map(Spot::path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_written_as_the_path_is() {
        let spot = Spot::root().field("guests").index(7).field("interfaces").index(0).field("routed_ipv6");
        assert_eq!(spot.path().as_str(), "guests[7].interfaces[0].routed_ipv6");
        assert_eq!(spot.index(2).path().as_str(), "guests[7].interfaces[0].routed_ipv6[2]");
        assert_eq!(spot.index(2).field("deeper").index(3).path(), spot.index(2).path());
        assert_eq!(Spot::root().path(), Path::root());
        assert_eq!(Spot::root().index(3).path(), Path::root());
    }

    #[test]
    fn numbers_lead_back_to_spots_and_lists() {
        let mut spots = Spots::default();
        let (nat, guest) = (Spot::root().field("nat"), Spot::root().field("guests").index(1));
        let numbers = [&nat, &nat, &guest, &nat].map(|spot| spots.origin(spot));
        assert_eq!(numbers[0], numbers[1]);
        let list = || Path::root().field("objects").field("files");
        let path = |origin| spots.path(origin, list).map(|path| path.to_string());
        assert_eq!(numbers.map(path), ["nat", "nat", "guests[1]", "nat"].map(|path| Some(path.to_owned())));
        assert_eq!(path(4).as_deref(), Some("objects.files[4]"));
        assert_eq!(path(u32::MAX), None);
    }
}
