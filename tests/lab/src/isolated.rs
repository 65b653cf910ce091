//! A test in namespaces of its own: the test binary starts itself again inside them, for that one test.

use std::fs;
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::command::die_with_parent;
use crate::need::Skip;
use crate::sys;

/// In the environment of a process that is inside: the name of the test that it runs.
const INSIDE: &str = "GUESTNET_LAB_INSIDE";
/// Set to anything, it makes a skipped test a failure.
const REQUIRED: &str = "GUESTNET_LAB_REQUIRED";
/// How long a test may take before it is taken for hung, unless the environment says how many seconds: under emulation, on a
/// busy machine, some take minutes.
const DEADLINE: Duration = Duration::from_secs(480);
const DEADLINE_VARIABLE: &str = "GUESTNET_LAB_DEADLINE";
/// Names a file for the tests whose kernel lacks something: they are listed there, to be run on another kernel,
/// and are not counted as skipped. A line is the directory, the test binary and the test, with tabs between.
const LATER: &str = "GUESTNET_LAB_LATER";
const DONE: &str = "guestnet-lab: done";
const SKIPPED: &str = "SKIPPED: ";
const LACKING: &str = "LACKING: ";

/// Defines tests that run [`isolated`]: `lab_test! { fn name() { … } }`, with or without a `Result`.
#[macro_export]
macro_rules! lab_test {
    ($($(#[$attribute:meta])* fn $name:ident() $(-> $result:ty)? $body:block)+) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            fn body() $(-> $result)? $body
            $crate::isolated(concat!(module_path!(), "::", stringify!($name)), body);
        }
    )+};
}

/// What the body of a test may return.
pub trait Outcome {
    /// Panics when the test has failed.
    fn check(self);
}

impl Outcome for () {
    fn check(self) {}
}

impl<E: std::fmt::Debug> Outcome for Result<(), E> {
    fn check(self) {
        if let Err(e) = self {
            panic!("{e:?}");
        }
    }
}

/// Runs the body of the test `name` (with its module path) in network and mount namespaces of its own, as root there.
///
/// The machine's root keeps its user namespace; anyone else gets a new one, so no privilege is needed. `/run` is an
/// empty tmpfs. Tests may run in parallel and take the same names.
///
/// With `GUESTNET_LAB_LATER=FILE` in the environment, a test whose kernel lacks something is listed in the file, for
/// another kernel.
///
/// # Panics
/// When the body fails; and when it is skipped although the environment has `GUESTNET_LAB_REQUIRED`.
pub fn isolated<O: Outcome>(name: &str, body: impl FnOnce() -> O) {
    // libtest leaves the crate out of a test's name.
    let name = name.split_once("::").map_or(name, |(_, rest)| rest);
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return inside(body);
    }
    let (status, said) = match start_again(name) {
        Ok(Some(outcome)) => outcome,
        Ok(None) => panic!("{name} was still running after {} s and was killed", deadline().as_secs()),
        Err(e) => return skipped(name, &format!("this machine allows no namespaces: {e:#}")),
    };
    print!("{said}");
    let told = |tag| said.lines().find_map(|line| line.strip_prefix(tag));
    if let Some(reason) = told(SKIPPED) {
        return skipped(name, reason);
    }
    if let Some(reason) = told(LACKING) {
        return lacking(name, reason);
    }
    assert!(status.success(), "{name} failed in its namespaces ({status})");
    assert!(said.contains(DONE), "{name} was not found in its own test binary");
}

/// Makes `command` start in namespaces of its own; the program then calls [`enter`].
pub fn isolate(command: &mut Command) {
    let uid_map = format!("0 {} 1", nix::unistd::geteuid());
    let gid_map = format!("0 {} 1", nix::unistd::getegid());
    let is_root = nix::unistd::geteuid().is_root();
    sys::before_exec(command, move || {
        let ours = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
        if is_root && unshare(ours).is_ok() {
            return Ok(());
        }
        unshare(ours | CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", &uid_map)?;
        fs::write("/proc/self/gid_map", &gid_map)
    });
}

/// Furnishes the namespaces that [`isolate`] made: an empty `/run`, `/sys` and `/proc/sys` of their own, `lo` up.
///
/// # Errors
/// When the mounts are refused.
pub fn enter() -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make the mounts private")?;
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), none).context("mount a tmpfs on /run")?;
    fs::create_dir("/run/netns").context("make /run/netns")?;
    fs::create_dir(scratch()).context("make the scratch directory")?;
    // Where this is not allowed, /sys shows the devices of another namespace, and programs fall back to netlink.
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none);
    // Containers mount it read-only.
    let _ = mount(none, "/proc/sys", none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none);
    sys::set_link_up("lo").context("set lo up")
}

/// A directory for a test's files. It goes with the test.
pub fn scratch() -> &'static Path {
    Path::new("/run/guestnet-lab")
}

fn inside<O: Outcome>(body: impl FnOnce() -> O) {
    enter().expect("the namespaces cannot be furnished");
    match panic::catch_unwind(AssertUnwindSafe(|| body().check())) {
        Ok(()) => println!("{DONE}"),
        Err(payload) => match payload.downcast_ref::<Skip>() {
            Some(Skip { reason, of_kernel: false }) => println!("{SKIPPED}{reason}"),
            Some(Skip { reason, of_kernel: true }) => println!("{LACKING}{reason}"),
            None => panic::resume_unwind(payload),
        },
    }
}

fn lacking(name: &str, reason: &str) {
    let Some(list) = std::env::var_os(LATER) else { return skipped(name, reason) };
    aloud(&format!("LATER, on another kernel: {name}: {reason}"));
    let place = std::env::current_dir().expect("the working directory");
    let program = std::env::current_exe().expect("the test binary");
    let line = format!("{}\t{}\t{name}\n", place.display(), program.display());
    let file = fs::OpenOptions::new().append(true).create(true).open(&list);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of tests for another kernel");
}

fn skipped(name: &str, reason: &str) {
    aloud(&format!("SKIPPED: {name}: {reason}"));
    assert!(std::env::var_os(REQUIRED).is_none(), "{name} was skipped, and {REQUIRED} is set: {reason}");
}

/// Past the test harness, which keeps the words of a passing test to itself.
fn aloud(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// Its exit status and what it said; `None` when it hung.
fn start_again(name: &str) -> Result<Option<(ExitStatus, String)>> {
    let program: PathBuf = std::env::current_exe()?;
    let (mut reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(INSIDE, name);
    command.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    isolate(&mut command);
    die_with_parent(&mut command);
    let mut child = command.spawn()?;
    // The command keeps the writing end open, and the reader would wait for it.
    drop(command);
    let listener = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = reader.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let Some(status) = wait(&mut child, deadline())? else { return Ok(None) };
    let said = listener.join().map_err(|_| anyhow!("the output could not be read"))?;
    Ok(Some((status, said)))
}

fn deadline() -> Duration {
    let said = std::env::var(DEADLINE_VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
    said.map_or(DEADLINE, Duration::from_secs)
}

fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
