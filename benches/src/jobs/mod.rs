//! The jobs, one a file.

mod one_guest;
mod whole;

use crate::job::Job;

/// All of them, in the order of the report.
pub fn all() -> Vec<Job> {
    vec![one_guest::job()]
}
