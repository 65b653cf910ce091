//! Where things are.

use std::path::{Path, PathBuf};

/// The top of the checkout.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => repository().join(target),
        None => repository().join("target"),
    }
}

/// Where the second kernel and its runs are kept.
pub fn lab() -> PathBuf {
    target().join("lab")
}
