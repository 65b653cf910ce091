//! Network namespaces by name, as `ip netns` keeps them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::{output, sys};

/// A network namespace. One that [`Netns::make`] made loses its name when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
    made: bool,
}

impl Netns {
    /// Makes the namespace `name`, its `lo` up. Equivalent: `ip netns add NAME; ip -n NAME link set lo up`.
    ///
    /// # Errors
    /// When there is one of that name already, or namespaces are not allowed.
    pub fn make(name: &str) -> Result<Self> {
        let path = format!("/run/netns/{name}");
        let mut netns = Self::anonymous()?;
        fs::create_dir_all("/run/netns")?;
        File::create_new(&path).with_context(|| format!("make the namespace {name}"))?;
        // By way of the thread's own entry: a descriptor of another process is no source of a mount.
        netns.run(|| {
            let none = None::<&str>;
            mount(Some("/proc/thread-self/ns/net"), path.as_str(), none, MsFlags::MS_BIND, none)
                .with_context(|| format!("mount the namespace {name} on {path}"))
        })?;
        netns.name = name.to_owned();
        netns.made = true;
        Ok(netns)
    }

    /// A namespace without a name, its `lo` up. It goes when its last descriptor and process are gone.
    ///
    /// # Errors
    /// When namespaces are not allowed.
    pub fn anonymous() -> Result<Self> {
        let make = || -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            sys::set_link_up("lo").context("set lo up")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        };
        let file = on_a_thread(make)?;
        Ok(Self { name: "(no name)".to_owned(), file, made: false })
    }

    /// The namespace that someone else named `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(name: &str) -> Result<Self> {
        let path = Path::new("/run/netns").join(name);
        let file = File::open(&path).with_context(|| format!("open the namespace {name}"))?;
        Ok(Self { name: name.to_owned(), file, made: false })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn here() -> Result<Self> {
        let file = File::open("/proc/thread-self/ns/net").context("open the thread's namespace")?;
        Ok(Self { name: "(here)".to_owned(), file, made: false })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls `work` on a thread inside. Sockets that it makes stay inside wherever they are carried.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            // The file is a namespace that this process made or was let into.
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("enter a namespace");
            work()
        })
    }

    /// A command that will run inside. Its arguments go to the program as they are, without a shell.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let file = self.file.try_clone();
        sys::before_exec(&mut command, move || match &file {
            Ok(file) => Ok(setns(file, CloneFlags::CLONE_NEWNET)?),
            Err(_) => Err(std::io::ErrorKind::Other.into()),
        });
        command
    }

    /// Runs `ip` inside with `arguments` split at white space; its output.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let said = output(self.command("ip").args(arguments.split_whitespace()));
        said.with_context(|| format!("in the namespace {}", self.name))
    }

    /// Gives `nft` inside the `ruleset` to load; its output.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn nft(&self, ruleset: &str) -> Result<String> {
        let mut nft = self.command("nft");
        nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = nft.spawn().context("start nft")?;
        child.stdin.take().context("nft's input")?.write_all(ruleset.as_bytes())?;
        let done = child.wait_with_output()?;
        let what = format!("in the namespace {}: nft -f - <<< '{ruleset}'", self.name);
        crate::command::said(&what, done)
    }

    /// The value of the sysctl `key`, as in `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// When there is none.
    pub fn sysctl(&self, key: &str) -> Result<String> {
        let read = self.run(|| fs::read_to_string(format!("/proc/sys/{key}")));
        Ok(read.with_context(|| format!("in the namespace {}: read {key}", self.name))?.trim().to_owned())
    }

    /// Sets the sysctl `key`.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses the value.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let written = self.run(|| fs::write(format!("/proc/sys/{key}"), value));
        written.with_context(|| format!("in the namespace {}: set {key} = {value}", self.name))
    }

    /// Makes addresses of interfaces that are yet to come usable at once, without the second that the search for
    /// duplicates takes (RFC 4862, 5.4).
    ///
    /// # Errors
    /// When there is no IPv6.
    pub fn skip_dad(&self) -> Result<()> {
        self.set_sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        self.set_sysctl("net/ipv6/conf/all/accept_dad", "0")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.made {
            let path = format!("/run/netns/{}", self.name);
            let _ = umount2(path.as_str(), MntFlags::MNT_DETACH);
            let _ = fs::remove_file(path);
        }
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}
