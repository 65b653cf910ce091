//! Kernel modules: which are wanted, what they depend on, and their bytes without the signature.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;

/// The modules of a kernel.
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    busybox: PathBuf,
    place: PathBuf,
}

impl Modules {
    /// Looks which ones there are.
    pub fn of(kernel: &Kernel) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(&kernel.modules.join("kernel"), &mut files)?;
        let list = kernel.modules.join("modules.builtin");
        let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
        let builtin = list.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { files, builtin, busybox: kernel.busybox.clone(), place: kernel.modules.clone() })
    }

    /// The bytes of `wanted` and of all they depend on, each after what it depends on.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut order = Vec::new();
        for name in wanted {
            self.add(&plain(name), &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        if self.builtin.contains(name) || order.iter().any(|(there, _)| there == name) {
            return Ok(());
        }
        let Some(file) = self.files.get(name) else {
            bail!("the kernel in {} has no module {name}", self.place.display())
        };
        let bytes = self.read(file)?;
        for dependency in depends(&bytes) {
            self.add(&dependency, order)?;
        }
        order.push((name.to_owned(), without_signature(bytes)));
        Ok(())
    }

    fn read(&self, file: &Path) -> Result<Vec<u8>> {
        if file.extension().is_some_and(|e| e == "xz") {
            let done = Command::new(&self.busybox).arg("xzcat").arg(file).output()?;
            return Ok(done.stdout);
        }
        fs::read(file).with_context(|| format!("read {}", file.display()))
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The module's name in `…/NAME.ko` or `…/NAME.ko.xz`.
fn name_of(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(plain(name))
}

/// `-` and `_` are the same in a module's name.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// What the module says that it depends on.
fn depends(module: &[u8]) -> Vec<String> {
    const TAG: &[u8] = b"\0depends=";
    let Some(start) = module.windows(TAG.len()).position(|window| window == TAG) else { return Vec::new() };
    let list = module[start + TAG.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(plain).collect()
}

/// Checking the signatures of some eighty modules takes ten seconds without hardware virtualisation.
fn without_signature(mut module: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    const TRAILER: usize = 12;
    let Some(rest) = module.strip_suffix(MARK) else { return module };
    let Some(length) = rest.last_chunk::<4>().map(|length| u32::from_be_bytes(*length)) else {
        return module;
    };
    let signature = usize::try_from(length).unwrap_or(usize::MAX);
    let end = rest.len().saturating_sub(TRAILER).saturating_sub(signature);
    module.truncate(end);
    module
}

#[cfg(test)]
mod tests {
    use super::{depends, without_signature};

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(depends(b"\x7fELF\0depends=virtio-ring,9pnet\0name=x\0"), ["virtio_ring", "9pnet"]);
        assert!(depends(b"\x7fELF\0depends=\0name=x\0").is_empty());
        assert!(depends(b"\x7fELF").is_empty());
    }

    #[test]
    fn only_the_signature_is_taken_off() {
        let mut signed = b"module".to_vec();
        signed.extend(b"SIG");
        signed.extend([0; 8]);
        signed.extend(3u32.to_be_bytes());
        signed.extend(b"~Module signature appended~\n");
        assert_eq!(without_signature(signed), b"module");
        assert_eq!(without_signature(b"module".to_vec()), b"module");
    }
}
