//! What a check may look at: the host as it is, and what the spec wants of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use guestnet_core::{Error, LinkName, Namespace, Netns, NetnsName};

use super::links::{self, HostLink};
use crate::objects::{NamespaceObjects, Objects};
use crate::report;
use crate::spec::{Guest, HostSpec};

pub(super) struct Case<'a> {
    /// `/proc`, as the thread in the host's namespace sees it.
    pub(super) proc: PathBuf,
    /// Where programs are looked for.
    pub(super) programs: Vec<PathBuf>,
    pub(super) spec: Option<&'a HostSpec>,
    pub(super) objects: Option<&'a Objects>,
    /// Sysctls of the whole kernel, as the caller's own namespace shows them.
    of_caller: BTreeMap<String, u64>,
    /// The links of the host's namespace, where the caller may open it.
    pub(super) host_links: Vec<HostLink>,
    /// The host's namespace, likewise.
    pub(super) namespace: Option<Namespace>,
}

/// What holds for all namespaces together.
const OF_KERNEL: [&str; 2] = ["net/ipv4/neigh/default/gc_thresh3", "net/ipv6/neigh/default/gc_thresh3"];

/// Runs `work` in the host's namespace.
pub(super) fn at<T: Send>(
    netns: Option<&NetnsName>,
    spec: Option<&HostSpec>,
    objects: Option<&Objects>,
    work: impl FnOnce(&mut Case<'_>) -> T + Send,
) -> Result<T, report::Error> {
    // Before the caller's namespace is left: it may be the first one, which alone shows them.
    let before = Case::new(spec, objects);
    let seen = OF_KERNEL.iter().filter_map(|key| Some(((*key).to_owned(), before.number(key)?)));
    let of_caller: BTreeMap<String, u64> = seen.collect();
    let here = || -> Result<T, Error> {
        let mut case = Case { of_caller, ..Case::new(spec, objects) };
        case.namespace = match Namespace::current() {
            Ok(namespace) => Some(namespace),
            // That is a finding; files can be read all the same.
            Err(error) if error.is_permission() => None,
            Err(error) => return Err(error),
        };
        case.host_links = case.namespace.as_mut().map(links::read).unwrap_or_default();
        Ok(work(&mut case))
    };
    Ok(match netns {
        // On this thread: one that lacks the right to enter namespaces is in its own already.
        None => here()?,
        Some(name) => Namespace::from_fd(guestnet_core::netns::open(name)?, Netns::Host)?.inside(here)?,
    })
}

impl<'a> Case<'a> {
    pub(super) fn new(spec: Option<&'a HostSpec>, objects: Option<&'a Objects>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        // Daemons are started with these, whatever the caller's path is.
        programs.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        let (of_caller, host_links) = (BTreeMap::new(), Vec::new());
        Self { proc: "/proc".into(), programs, spec, objects, of_caller, host_links, namespace: None }
    }

    /// A file below `/proc`, without white space around it.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        Some(fs::read_to_string(self.proc.join(path)).ok()?.trim().to_owned())
    }

    /// A sysctl as it is now.
    pub(super) fn sysctl(&self, key: &str) -> Option<String> {
        self.read(&format!("sys/{key}"))
    }

    /// A sysctl that is a number, as it is now.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.sysctl(key)?.parse().ok()
    }

    /// A sysctl of the whole kernel, which its first namespace alone shows: in the caller's, or by way of the first
    /// process. `None` where neither shows it, as in a container.
    pub(super) fn of_kernel(&self, key: &str) -> Option<u64> {
        self.number(key).or_else(|| self.of_caller.get(key).copied()).or_else(|| {
            let first = std::fs::File::open(self.proc.join("1/ns/net")).ok()?;
            let first = Namespace::from_fd(first.into(), Netns::Host).ok()?;
            first.inside(|| Ok(self.number(key))).ok()?
        })
    }

    /// A sysctl that is a number, as it will be when the spec is applied.
    pub(super) fn future(&self, key: &str) -> Option<u64> {
        let wanted =
            self.host().and_then(|objects| objects.sysctls.iter().find(|s| s.key.to_string() == key));
        match wanted {
            Some(sysctl) => sysctl.value.to_string().parse().ok(),
            None => self.number(key),
        }
    }

    /// What the spec wants in the host's own namespace.
    pub(super) fn host(&self) -> Option<&'a NamespaceObjects> {
        self.objects.map(|objects| &objects.host)
    }

    /// The guests of the spec.
    pub(super) fn guests(&self) -> &'a [Guest] {
        self.spec.map_or(&[], |spec| &spec.guests)
    }

    pub(super) fn uplink(&self) -> Option<&'a LinkName> {
        self.spec?.uplink.as_ref()
    }

    /// The name of the uplink, of which the spec may say another of its names.
    pub(super) fn uplink_name(&self) -> Option<String> {
        let said = self.uplink()?.as_str();
        let other = self.host_links.iter().find(|link| link.other_names.iter().any(|name| name == said));
        Some(other.map_or(said, |link| link.name.as_str()).to_owned())
    }

    /// The names of the host's interfaces.
    pub(super) fn links(&self) -> Vec<String> {
        let folders = fs::read_dir(self.proc.join("sys/net/ipv4/conf")).into_iter().flatten().flatten();
        let names = folders.map(|folder| folder.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| !["all", "default"].contains(&name.as_str())).collect();
        names.sort();
        names
    }

    /// The families (IPv4: true) of the outer addresses of the tunnels that the spec wants; both where there is no spec.
    pub(super) fn outer_families(&self) -> BTreeSet<bool> {
        let Some(objects) = self.objects else { return BTreeSet::from([true, false]) };
        let states = objects.iter().flat_map(|(_, objects)| objects.states.iter());
        states.map(|state| state.src.is_ipv4()).collect()
    }

    pub(super) fn has_program(&self, name: &str) -> bool {
        self.programs.iter().any(|folder| Path::new(folder).join(name).is_file())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Check, Finding};
    use super::*;

    /// A tree that stands for `/proc`, for what only the whole kernel has and no namespace can change.
    pub(in super::super) struct Tree(PathBuf);

    impl Tree {
        pub(in super::super) fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let top = std::env::temp_dir().join(format!("guestnet-doctor-{name}-{}", std::process::id()));
            for (path, content) in files {
                let path = top.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(top)
        }

        /// What `check` finds of `spec`, by its id.
        pub(in super::super) fn findings(&self, check: Check, spec: &HostSpec) -> Vec<Finding> {
            let objects = spec.objects().unwrap();
            let mut case = Case::new(Some(spec), Some(&objects));
            case.proc.clone_from(&self.0);
            case.programs = vec![self.0.clone()];
            let mut findings = Vec::new();
            check(&mut case, &mut findings);
            findings
        }

        pub(in super::super) fn ids(&self, check: Check, spec: &HostSpec) -> Vec<String> {
            self.findings(check, spec).into_iter().map(|finding| finding.id).collect()
        }
    }

    #[test]
    fn what_holds_for_the_whole_kernel_is_known_where_another_namespace_is_looked_at() {
        let [key, other] = OF_KERNEL;
        let seen = Case { of_caller: [(key.to_owned(), 7)].into(), ..Case::new(None, None) };
        let hidden = Tree::new("hidden", &[("x", "")]);
        let there = Case { proc: hidden.0.clone(), ..seen };
        assert_eq!((there.of_kernel(key), there.of_kernel(other)), (Some(7), None));
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
