//! Which part of a spec asked for an object.

use std::collections::HashMap;

use guestnet_core::{File, Netns, Object, Path};

use super::{Lowered, place};
use crate::objects::NamespaceObjects;

/// Of each object that a spec asks for, the place in the spec. Made when something is to be told, not before.
pub(crate) struct Places<'a> {
    lowered: &'a Lowered,
    /// By what [`place`] calls the objects.
    origins: HashMap<String, (Netns, &'static str, u32)>,
}

impl Places<'_> {
    /// The place in the spec that asked for `object`, named as by [`place`].
    pub(crate) fn path_of(&self, object: &str) -> Option<String> {
        let (netns, kind, origin) = self.origins.get(object)?;
        let path = match *kind {
            File::KIND => self.lowered.path_of_file(*origin),
            kind => self.lowered.path(netns, kind, *origin),
        };
        path.map(|path| path.to_string())
    }
}

impl Lowered {
    /// The places of all objects.
    pub(crate) fn places(&self) -> Places<'_> {
        let mut origins = HashMap::with_capacity(self.objects.len());
        for (netns, objects) in self.objects.iter() {
            objects.with_origins(|kind, name, origin| {
                origins.insert(place(&netns, &name), (netns.clone(), kind, origin));
            });
        }
        for (origin, file) in self.objects.files.with_origins() {
            let Some(origin) = origin else { continue };
            origins.insert(format!("{} {}", File::KIND, file.path), (Netns::Host, File::KIND, origin));
        }
        Places { lowered: self, origins }
    }

    /// The place in the spec that `origin` of an object of `kind` in `netns` stands for.
    pub(super) fn path(&self, netns: &Netns, kind: &str, origin: u32) -> Option<Path> {
        self.spots.path(origin, || {
            let given = Path::root().field("objects");
            let here = match netns {
                Netns::Host => given.field("host"),
                Netns::Named(name) => given.field("namespaces").field(name.as_str()),
            };
            here.field(NamespaceObjects::field_of(kind))
        })
    }

    pub(super) fn path_of_file(&self, origin: u32) -> Option<Path> {
        self.spots.path(origin, || Path::root().field("objects").field("files"))
    }
}
