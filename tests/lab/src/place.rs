//! Where things are in a checkout.

use std::path::{Path, PathBuf};

/// The top of the checkout.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The directory where cargo builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => repository().join(target),
        None => repository().join("target"),
    }
}

/// The directory for unpacked packages, kernels among them, and for what runs of the second kernel leave for the next.
pub fn lab() -> PathBuf {
    target().join("lab")
}

/// The file in `place` that says that packages were unpacked there to the end.
pub fn mark(place: &Path) -> PathBuf {
    place.join("complete")
}

/// Whether packages were unpacked in `place` to the end.
pub fn is_whole(place: &Path) -> bool {
    mark(place).exists()
}
