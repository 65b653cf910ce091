//! The jobs, one a file.

mod again;
mod at_once;
mod data_plane;
mod firewall;
mod firewall_packets;
mod first_answer;
mod guests_from_nothing;
mod nat;
mod one_guest;
mod one_more;
mod python;
mod rekey;
mod whole;
mod xfrm;

use anyhow::{Result, ensure};

use crate::job::Job;

/// Whether there is a job `name`.
///
/// # Errors
/// With the names of those that there are.
pub fn known(name: &str) -> Result<()> {
    let names: Vec<&str> = all().iter().map(|job| job.name).collect();
    ensure!(names.contains(&name), "there is no job {name:?}, but {}", names.join(", "));
    Ok(())
}

/// All of them, in the order of the report.
pub fn all() -> Vec<Job> {
    vec![
        one_guest::job(),
        first_answer::job(),
        guests_from_nothing::in_host(),
        guests_from_nothing::in_their_own(),
        one_more::job(),
        one_more::less(),
        one_more::lost(),
        at_once::more(),
        at_once::fewer(),
        python::job(),
        again::job(),
        again::read_back(),
        nat::load(),
        nat::element(),
        nat::read(),
        firewall::element(),
        firewall::guest(),
        xfrm::policy(),
        xfrm::state(),
        rekey::policies(),
        rekey::job(),
        data_plane::inward(),
        data_plane::outward(),
        firewall_packets::from_guests(),
        firewall_packets::to_guests(),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_job_is_answered_with_those_there_are() {
        assert!(super::known("one-guest").is_ok());
        let words = super::known("one-gest").unwrap_err().to_string();
        assert!(words.starts_with("there is no job \"one-gest\", but one-guest, first-answer, "), "{words}");
    }
}
