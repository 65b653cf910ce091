//! Many guests from nothing: all in the host's namespace, and each in one of its own.

use crate::goal::{Goal, Most};
use crate::guests::{self, Place};
use crate::job::{Contestant, Job, Sizes};

use super::whole;

pub fn in_host() -> Job {
    Job {
        name: "guests",
        what: "guests from nothing, all in the host's namespace",
        sizes: Sizes { whole: &[(1000, 5), (10_000, 2)], quick: &[(100, 3)] },
        contestants: vec![
            Contestant::new("floor", |n| whole::floor(guests::spec(n, Place::Host)?, false)),
            Contestant::new("floor and questions", |n| whole::floor(guests::spec(n, Place::Host)?, true)),
            Contestant::new("guestnet", |n| whole::guestnet(guests::spec(n, Place::Host)?)),
            Contestant::new("guestnet, the command", |n| whole::command(guests::spec(n, Place::Host)?)),
            Contestant::new("ip -batch, nft -f", |n| whole::batches(guests::spec(n, Place::Host)?)),
            Contestant::new("a process an object", |n| whole::processes(guests::spec(n, Place::Host)?))
                .up_to(100),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

pub fn in_their_own() -> Job {
    Job {
        name: "guests-own",
        what: "guests from nothing, each in a namespace of its own",
        sizes: Sizes { whole: &[(100, 5), (1000, 2)], quick: &[(20, 2)] },
        contestants: vec![
            Contestant::new("floor", |n| whole::floor(guests::spec(n, Place::Own)?, false)),
            Contestant::new("guestnet", |n| whole::guestnet(guests::spec(n, Place::Own)?)),
            Contestant::new("ip -batch, nft -f", |n| whole::batches(guests::spec(n, Place::Own)?)).up_to(100),
            Contestant::new("a process an object", |n| whole::processes(guests::spec(n, Place::Own)?))
                .up_to(20),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}
