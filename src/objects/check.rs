//! What can be wrong with one object by itself, in the namespace that it shall be in.

use guestnet_core::{Address, Link, Netns, Path, Problems, Route, Sysctl};
use guestnet_ndp::{PermanentNeighbour, ProxyNeighbour};
use guestnet_nft::Table;
use guestnet_xfrm::{HashThreshold, Policy, State};

use crate::spec::reqids;

/// A kind whose objects can be looked at one by one.
pub trait CheckIn {
    fn check_in(&self, netns: &Netns, path: &Path, problems: &mut Problems);
}

macro_rules! check_in {
    ($($type:ident: |$object:ident, $netns:ident, $path:ident, $problems:ident| $check:expr;)*) => {$(
        impl CheckIn for $type {
            fn check_in(&self, $netns: &Netns, $path: &Path, $problems: &mut Problems) {
                let $object = self;
                $check
            }
        }
    )*};
}

check_in! {
    Link: |link, _netns, path, problems| link.check(path, problems);
    Table: |table, _netns, path, problems| table.check(path, problems);
    Sysctl: |_sysctl, _netns, _path, _problems| ();
    State: |state, netns, path, problems| state.check(&reqids(netns), path, problems);
    HashThreshold: |threshold, _netns, path, problems| threshold.check(path, problems);
    Policy: |policy, netns, path, problems| policy.check(&reqids(netns), path, problems);
    Address: |address, _netns, path, problems| address.check(path, problems);
    Route: |route, _netns, path, problems| route.check(path, problems);
    ProxyNeighbour: |neighbour, _netns, path, problems| neighbour.check(path, problems);
    PermanentNeighbour: |neighbour, _netns, path, problems| neighbour.check(path, problems);
}
