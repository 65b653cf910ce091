//! A guest under QEMU, and commands for it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Kernel, init};
use crate::daemon::fresh_file;
use crate::pings::{Count, interval};
use crate::{
    Capability, Lease, Mac, Netns, Pings, dhcp, die_with_parent, need, need_program, skip, wait_until,
};

/// How long a guest may take to boot, and a command to be answered: minutes under emulation in emulation.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long DHCP and router advertisements may take, once there is somebody who serves them.
const SERVED: Duration = Duration::from_secs(60);

/// A virtual machine with one network card, `eth0`. It is gone when dropped, or when the thread that booted it ends.
pub struct Vm {
    machine: Child,
    line: RefCell<Line>,
    boot: Duration,
    console: PathBuf,
    log: PathBuf,
}

/// The serial line on which commands go and answers come.
struct Line {
    commands: ChildStdin,
    answers: Receiver<String>,
}

/// Skips the test where no virtual machine can run on a tap.
pub fn need_vm() {
    need_program("qemu-system-x86_64");
    need(Capability::Tap);
    if let Err(e) = Kernel::unpacked(&Kernel::of_guests()) {
        skip(&format!("{e:#}"));
    }
}

impl Vm {
    /// Boots a machine on the existing tap `tap` in the namespace `host`. QEMU opens the tap as it does by default, with
    /// the header that leaves checksums and segmentation to the guest (`IFF_VNET_HDR`).
    ///
    /// # Errors
    /// When QEMU does not start, or the guest does not come up: with what they say.
    pub fn boot(host: &Netns, tap: &str, mac: Mac) -> Result<Self> {
        Self::with_queues(host, tap, mac, 1)
    }

    /// The same with a network card of several queues, on a tap made for that (`multi_queue`), and a processor for each.
    ///
    /// # Errors
    /// As [`Vm::boot`].
    pub fn with_queues(host: &Netns, tap: &str, mac: Mac, queues: u8) -> Result<Self> {
        // QEMU would make a tap that is not there.
        host.run(|| nix::net::if_::if_nametoindex(tap))
            .with_context(|| format!("the tap {tap} in the namespace {}", host.name()))?;
        let kernel = Kernel::unpacked(&Kernel::of_guests())?;
        let (initramfs, console, log) =
            (fresh_file("initramfs"), fresh_file("console"), fresh_file("qemu.log"));
        fs::write(&initramfs, init::build(&kernel)?)?;

        let mut qemu = host.command("qemu-system-x86_64");
        qemu.args(["-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"]);
        qemu.args(["-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "128M"]);
        qemu.args(["-smp", &queues.to_string()]);
        qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&initramfs);
        // A panic ends the machine. On a busy one, the kernel would take timers that come late for missing, and panic.
        qemu.args([
            "-append",
            "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off cryptomgr.notests=1",
        ]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.args(["-chardev", "stdio,id=commands,signal=off", "-serial", "chardev:commands"]);
        let several = if queues > 1 { format!(",queues={queues}") } else { String::new() };
        qemu.args(["-netdev", &format!("tap,id=net,ifname={tap},script=no,downscript=no{several}")]);
        let several = if queues > 1 { format!(",mq=on,vectors={}", 2 * queues + 2) } else { String::new() };
        qemu.args(["-device", &format!("virtio-net-pci,netdev=net,mac={mac},romfile={several}")]);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        die_with_parent(&mut qemu);
        Self::start(&mut qemu, console, log)
    }

    fn start(qemu: &mut Command, console: PathBuf, log: PathBuf) -> Result<Self> {
        let start = Instant::now();
        let mut machine = qemu.spawn().context("start qemu-system-x86_64")?;
        let commands = machine.stdin.take().context("QEMU's input")?;
        let output = machine.stdout.take().context("QEMU's output")?;
        let (sender, answers) = channel();
        // It ends with QEMU.
        std::thread::Builder::new().spawn(move || {
            let mut lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
            while lines.next().is_some_and(|line| sender.send(String::from_utf8_lossy(&line).into()).is_ok())
            {
            }
        })?;
        let line = RefCell::new(Line { commands, answers });
        let mut vm = Self { machine, line, boot: Duration::ZERO, console, log };
        vm.line.borrow_mut().answer().map_err(|words| vm.failed(&words)).context("boot a guest")?;
        vm.boot = start.elapsed();
        Ok(vm)
    }

    /// How long it took from the start of QEMU until the guest could be told what to do.
    pub fn boot_time(&self) -> Duration {
        self.boot
    }

    /// Runs `command`, a line for the guest's shell; what it says on both outputs, without white space at the end.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn run(&self, command: &str) -> Result<String> {
        let (code, said) = self.try_run(command)?;
        ensure!(code == 0, "in the guest, {command}: {said} (exit code {code})");
        Ok(said)
    }

    /// Runs `command`, a line for the guest's shell; its exit code and what it says.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn try_run(&self, command: &str) -> Result<(u8, String)> {
        ensure!(!command.contains('\n'), "a command is one line: {command}");
        let mut line = self.line.borrow_mut();
        let asked = writeln!(line.commands, "{command}").map_err(|e| e.to_string());
        asked
            .and_then(|()| line.answer())
            .map_err(|words| self.failed(&words))
            .with_context(|| format!("in the guest, {command}"))
    }

    /// Waits until `command` succeeds; what it says then.
    ///
    /// # Errors
    /// When it does not in time: with what it says at last.
    pub fn wait_for(&self, command: &str, deadline: Duration) -> Result<String> {
        let mut last = Ok((1, String::new()));
        let waited = wait_until(command, deadline, || {
            last = self.try_run(command);
            !matches!(last, Ok((1.., _)))
        });
        let (_, said) = last?;
        waited.with_context(|| format!("the guest says: {said}")).map(|()| said)
    }

    /// What the DHCP client was given; waits until it was.
    ///
    /// # Errors
    /// When no server answers: with what the client says.
    pub fn lease(&self) -> Result<Lease> {
        let lease = self.wait_for(&format!("cat {}", init::LEASE), SERVED);
        let lease = lease.with_context(|| self.run("cat /run/udhcpc.log").unwrap_or_default())?;
        dhcp::parse(&lease).with_context(|| format!("a strange lease:\n{lease}"))
    }

    /// Asks the DHCP server for the lease once more, and waits for the answer.
    ///
    /// # Errors
    /// When no server answers.
    pub fn renew(&self) -> Result<Lease> {
        self.run(&format!("rm -f {} && kill -USR1 $(cat /run/udhcpc.pid)", init::LEASE))?;
        self.lease()
    }

    /// The address of global scope that starts with `start`; waits until it is there and no longer tentative.
    ///
    /// # Errors
    /// When it does not come.
    pub fn ipv6(&self, start: &str) -> Result<IpAddr> {
        let shown = "ip -6 address show dev eth0 scope global | grep -v tentative";
        let said = self.wait_for(&format!("{shown} | grep -o ' {start}[^/]*'"), SERVED)?;
        Ok(said.split_whitespace().next().unwrap_or_default().parse()?)
    }

    /// One echo request that is answered, of five.
    ///
    /// # Errors
    /// When none is.
    pub fn ping(&self, to: IpAddr) -> Result<()> {
        let command =
            format!("for n in 1 2 3 4 5; do ping -c 1 -W 1 {to} > /dev/null && exit 0; done; exit 1");
        self.run(&command).map(drop).with_context(|| format!("{to} does not answer the guest"))
    }

    /// Sends echo requests to `to` as long as the guest lives. The guest's kernel counts them, and all others of the same
    /// family: on a busy machine the guest gets many replies at once, more than fit what `ping` has room for.
    ///
    /// # Errors
    /// When no reply comes.
    pub fn pings(&self, to: IpAddr) -> Result<Pings<'_>> {
        self.run(&format!("ping -i {} {to} > /dev/null 2>&1 &", interval()))?;
        let counters = match to {
            IpAddr::V4(_) => {
                "awk '/^IcmpMsg/ { if (n++) for (i in f) c[f[i]] = $i; else for (i = 2; i <= NF; i++) f[i] = $i } \
                 END { print c[\"OutType8\"], c[\"InType0\"] }' /proc/net/snmp"
            }
            IpAddr::V6(_) => {
                "awk '{ c[$1] = $2 } END { print c[\"Icmp6OutEchos\"], c[\"Icmp6InEchoReplies\"] }' /proc/net/snmp6"
            }
        };
        Pings::begin(format!("the guest to {to}"), move || {
            // While none is sent, so that those on their way arrive.
            let said =
                self.run(&format!("killall -STOP ping; usleep 100000; {counters}; killall -CONT ping"))?;
            let counted = said.split_once(' ').and_then(|(sent, answered)| {
                Some(Count { sent: sent.parse().ok()?, answered: answered.parse().unwrap_or(0) })
            });
            counted.with_context(|| format!("no counters: {said}"))
        })
    }

    fn failed(&self, words: &str) -> anyhow::Error {
        let console = last_lines(&self.console);
        let log = last_lines(&self.log);
        anyhow::anyhow!("{words}\nQEMU says:\n  {log}\nthe guest's console ends with:\n  {console}")
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

impl Line {
    /// The rest of an answer: exit code and output.
    fn answer(&mut self) -> Result<(u8, String), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.answers.recv_timeout(left).map_err(|e| format!("no answer: {e}"))?;
            if let Some(code) = line.strip_prefix(init::END) {
                return Ok((code.trim().parse().unwrap_or(u8::MAX), said.trim_end().to_owned()));
            }
            said += line.strip_prefix(init::LINE).unwrap_or(&line);
            said.push('\n');
        }
    }
}

fn last_lines(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.split_at(lines.len().saturating_sub(25)).1.join("\n  ")
}
