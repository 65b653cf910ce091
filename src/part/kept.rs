//! What the host was last asked for, kept so that a part of it can be added or taken away: the settings of the host, and
//! its guests by name. No secret is among it. It is a cache: what it says and the kernel does not have is made again, and a
//! cache that is lost or damaged is as none.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::owner::Owner;
use guestnet_core::{Error, Result, records};
use serde::{Deserialize, Serialize};

use super::shelf::{Shelf, Stamp};
use super::tally::Tally;
use super::wide::Wide;
use crate::spec::{Guest, GuestName, HostSpec};

/// The version of the form of the files.
const VERSION: u32 = 1;
/// The file that says which others there are. It is written last and read first.
const INDEX: &str = "index";
/// The file of what is said for the host as a whole.
const WIDE: &str = "wide";
/// Into how many files guests are put, by their names: one guest more writes one of them.
const BUCKETS: u64 = 256;

/// The guests of one file.
type Bucket = BTreeMap<GuestName, Guest>;

/// By what the content of a file is known.
pub(super) type Digest = u64;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    version: u32,
    /// Whether all that is ours was asked for since this is kept.
    complete: bool,
    /// Whether the last change came to its end.
    settled: bool,
    /// How many guests there are.
    guests: usize,
    /// What each file may hold: two contents while a change is under way.
    files: BTreeMap<String, Vec<Digest>>,
    /// What has to be known to change a part alone. It holds once the last change came to its end.
    tally: Tally,
}

impl Index {
    fn read(text: &[u8]) -> Option<Self> {
        records::from_slice(text).ok().filter(|index: &Self| index.version == VERSION)
    }
}

/// What the files of an index, of a host as a whole and of guests are when they are written again; `None` where one of them is
/// none.
#[cfg(feature = "fuzz")]
pub fn read_kept(index: &[u8], wide: &[u8], guests: &[u8]) -> Option<[String; 3]> {
    let (wide, guests): (Wide, Bucket) = (records::from_slice(wide).ok()?, records::from_slice(guests).ok()?);
    let files = [text(&Index::read(index)?).ok()?, text(&wide).ok()?, text(&guests).ok()?];
    Some(files.map(|file| String::from_utf8_lossy(&file).into_owned()))
}

/// What is kept of a host.
#[derive(Debug)]
pub(crate) struct Kept {
    shelf: Shelf,
    index: Index,
    pub(super) wide: Wide,
}

/// What there is of it.
pub(crate) enum Found {
    /// All that is ours was asked for by what is kept.
    Whole(Box<Kept>),
    /// There are objects of ours of which it is not known who asked for them.
    Part,
    /// Nothing is kept, or nothing that could be read.
    Nothing,
}

/// What is kept after a change: the files that it writes. An empty one is removed.
pub(crate) struct Change {
    files: BTreeMap<String, Vec<u8>>,
    guests: usize,
    tally: Tally,
    /// Whether nothing is left to be kept.
    is_last: bool,
}

/// What is kept cannot be read: it is as if nothing were.
#[derive(Debug)]
pub(crate) struct Damaged;

/// What a change has begun with, to go back to.
pub(crate) struct Before {
    index: Index,
    files: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    /// What is kept of the host of `owner`.
    pub(crate) fn read(owner: Owner) -> Found {
        let shelf = Shelf::of(owner);
        let Some(index) = shelf.read(INDEX).and_then(|text| Index::read(&text)) else {
            return Found::Nothing;
        };
        if !index.complete {
            return Found::Part;
        }
        let mut kept = Self { shelf, index, wide: Wide::default() };
        match kept.file(WIDE) {
            Some(wide) => {
                kept.wide = wide;
                Found::Whole(Box::new(kept))
            }
            None => Found::Nothing,
        }
    }

    /// Nothing yet, on a host that has nothing of ours.
    pub(crate) fn new(owner: Owner) -> Self {
        let index = Index { version: VERSION, complete: true, settled: true, ..Index::default() };
        Self { shelf: Shelf::of(owner), index, wide: Wide::default() }
    }

    /// What is there already, whatever it says, to be replaced as a whole.
    pub(crate) fn to_replace(owner: Owner) -> Self {
        match Self::read(owner) {
            Found::Whole(mut kept) => {
                // What was lost is written again.
                let there = kept.shelf.names();
                kept.index.files.retain(|file, digests| there.contains(file) || *digests == [digest(&[])]);
                *kept
            }
            Found::Part | Found::Nothing => {
                let mut new = Self::new(owner);
                // What is there and cannot be read has to go.
                new.index.settled = Self::stamp(owner).is_none();
                new
            }
        }
    }

    /// Notes that there is more on the host than is known.
    pub(crate) fn give_up(owner: Owner) -> Result<()> {
        let shelf = Shelf::of(owner);
        shelf.clear()?;
        write_index(&shelf, &Index { version: VERSION, settled: true, ..Index::default() })
    }

    /// By what it is known to be as it was.
    pub(crate) fn stamp(owner: Owner) -> Option<Stamp> {
        Shelf::of(owner).stamp(INDEX)
    }

    /// Whether the last change came to its end. Else the host may be anything between two states.
    pub(crate) fn is_settled(&self) -> bool {
        self.index.settled
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.index.tally
    }

    /// How many guests there are.
    pub(crate) fn guests(&self) -> usize {
        self.index.guests
    }

    /// The guests with these names, as far as there are any.
    pub(crate) fn named<'a>(
        &self,
        names: impl Iterator<Item = &'a GuestName>,
    ) -> std::result::Result<Bucket, Damaged> {
        let names: BTreeSet<&GuestName> = names.collect();
        let mut found = Bucket::new();
        for file in names.iter().map(|name| bucket_of(name)).collect::<BTreeSet<_>>() {
            found.extend(self.bucket(&file)?.into_iter().filter(|(name, _)| names.contains(name)));
        }
        Ok(found)
    }

    /// All guests but those with these names.
    pub(crate) fn others(&self, names: &BTreeSet<&GuestName>) -> std::result::Result<Vec<Guest>, Damaged> {
        let mut guests = Vec::with_capacity(self.index.guests);
        for file in self.index.files.keys().filter(|file| *file != WIDE) {
            let bucket = self.bucket(file)?;
            guests
                .extend(bucket.into_iter().filter(|(name, _)| !names.contains(name)).map(|(_, guest)| guest));
        }
        Ok(guests)
    }

    fn bucket(&self, file: &str) -> std::result::Result<Bucket, Damaged> {
        if !self.index.files.contains_key(file) {
            return Ok(Bucket::new());
        }
        self.file(file).ok_or(Damaged)
    }

    /// What is in `file`; nothing where it is not what was written.
    fn file<T: serde::de::DeserializeOwned + Default>(&self, file: &str) -> Option<T> {
        let digests = self.index.files.get(file)?;
        let text = self.shelf.read(file).unwrap_or_default();
        if !digests.contains(&digest(&text)) {
            return None;
        }
        if text.is_empty() { Some(T::default()) } else { records::from_slice(&text).ok() }
    }

    /// The change to nothing but `spec`.
    pub(crate) fn to_whole(&self, spec: &HostSpec, tally: Tally) -> Result<Change> {
        let mut buckets: BTreeMap<String, BTreeMap<&GuestName, &Guest>> = BTreeMap::new();
        for guest in &spec.guests {
            buckets.entry(bucket_of(&guest.name)).or_default().insert(&guest.name, guest);
        }
        let mut files: BTreeMap<String, Vec<u8>> =
            self.index.files.keys().map(|file| (file.clone(), Vec::new())).collect();
        for (file, bucket) in &buckets {
            files.insert(file.clone(), text(bucket)?);
        }
        files.insert(WIDE.into(), text(&Wide::of(spec))?);
        let is_last = spec.guests.is_empty() && Wide::of(spec).is_empty();
        Ok(Change { files, guests: spec.guests.len(), tally, is_last })
    }

    /// The change to `wide`, with the guests `here` and without those that are `gone`.
    pub(crate) fn to_part<'a>(
        &self,
        wide: &Wide,
        here: &'a [Guest],
        gone: impl Iterator<Item = &'a GuestName>,
        tally: Tally,
    ) -> std::result::Result<Change, Damaged> {
        let here = here.iter().map(|guest| (&guest.name, Some(guest)));
        let changes: BTreeMap<_, _> = gone.map(|name| (name, None)).chain(here).collect();
        let mut buckets: BTreeMap<String, Bucket> = BTreeMap::new();
        let mut guests = self.index.guests;
        for (name, guest) in changes {
            let file = bucket_of(name);
            if !buckets.contains_key(&file) {
                buckets.insert(file.clone(), self.bucket(&file)?);
            }
            let bucket = buckets.entry(file).or_default();
            let was = bucket.remove(name).is_some();
            guests = guests.saturating_sub(usize::from(was)) + usize::from(guest.is_some());
            bucket.extend(guest.map(|guest| (name.clone(), guest.clone())));
        }
        let mut files = BTreeMap::new();
        for (file, bucket) in buckets {
            let text = if bucket.is_empty() { Ok(Vec::new()) } else { text(&bucket) };
            files.insert(file, text.map_err(|_| Damaged)?);
        }
        if *wide != self.wide || !self.index.files.contains_key(WIDE) {
            files.insert(WIDE.into(), text(wide).map_err(|_| Damaged)?);
        }
        Ok(Change { files, guests, tally, is_last: guests == 0 && wide.is_empty() })
    }

    /// Whether `change` changes anything of what is kept.
    pub(crate) fn is_changed_by(&self, change: &Change) -> bool {
        let is_none = change.is_last && self.index.files.is_empty();
        !self.index.settled
            || !is_none && self.index.tally != change.tally
            || !is_none && change.files.iter().any(|(file, text)| self.differs(file, text))
    }

    fn differs(&self, file: &str, text: &[u8]) -> bool {
        match self.index.files.get(file) {
            Some(digests) => *digests != [digest(text)],
            None => !text.is_empty(),
        }
    }

    /// Writes the files of `change`, and notes that it is under way. What is kept says from now on what may be there.
    pub(crate) fn begin(&mut self, change: &Change) -> Result<Before> {
        let mut before = Before { index: self.index.clone(), files: BTreeMap::new() };
        let changed: Vec<(&String, &Vec<u8>)> =
            change.files.iter().filter(|(file, text)| self.differs(file, text)).collect();
        self.index.settled = false;
        for (file, text) in &changed {
            let digests = self.index.files.entry((*file).clone()).or_insert_with(|| vec![digest(&[])]);
            digests.push(digest(text));
            before.files.insert((*file).clone(), self.shelf.read(file).unwrap_or_default());
        }
        write_index(&self.shelf, &self.index)?;
        for (file, text) in changed {
            self.put(file, text)?;
        }
        Ok(before)
    }

    /// Notes that `change` came to its end.
    pub(crate) fn settle(&mut self, change: &Change) -> Result<()> {
        if change.is_last {
            return self.shelf.clear();
        }
        for (file, text) in &change.files {
            self.index.files.insert(file.clone(), vec![digest(text)]);
        }
        self.index.files.retain(|file, digests| file == WIDE || *digests != [digest(&[])]);
        self.index.guests = change.guests;
        self.index.tally.clone_from(&change.tally);
        self.index.settled = true;
        write_index(&self.shelf, &self.index)
    }

    /// Goes back to what was kept `before` a change that was undone.
    pub(crate) fn back(&mut self, before: Before) -> Result<()> {
        for (file, text) in &before.files {
            self.put(file, text)?;
        }
        self.index = before.index;
        if self.index.files.is_empty() { self.shelf.clear() } else { write_index(&self.shelf, &self.index) }
    }

    fn put(&self, file: &str, text: &[u8]) -> Result<()> {
        if text.is_empty() { self.shelf.remove(file) } else { self.shelf.write(file, text) }
    }
}

fn write_index(shelf: &Shelf, index: &Index) -> Result<()> {
    shelf.write(INDEX, &text(index)?)
}

fn text<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::malformed("what is kept of the host", e))
}

/// The file that the guest called `name` is in.
fn bucket_of(name: &GuestName) -> String {
    format!("{:02x}", digest(name.as_str().as_bytes()) % BUCKETS)
}

/// FNV-1a in 64 bits: it tells files that were damaged, not those that somebody forged, who would have to be root.
pub(super) fn digest(text: &[u8]) -> Digest {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
