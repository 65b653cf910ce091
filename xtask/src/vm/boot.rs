//! One run of the second kernel.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use guestnet_lab::vm::Kernel;

use super::initramfs;
use crate::place;

/// How long the kernel may take until it runs the command.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
const MEMORY: &str = "2G";

/// The files of one run. They go with it.
struct Exchange(PathBuf);

impl Exchange {
    fn new() -> Result<Self> {
        let place = place::lab().join(format!("boot-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        Ok(Self(place))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Boots `kernel`, runs `command` in it and says what exit code it had.
pub fn run(kernel: &Kernel, command: &[String], deadline: Duration) -> Result<u8> {
    let exchange = Exchange::new()?;
    write_command(&exchange.file("command"), command)?;
    let shares = shares();
    let archive = initramfs::build(kernel, &init(&exchange, &shares))?;
    fs::write(exchange.file("initramfs"), archive)?;

    let mut qemu = qemu(kernel, &exchange, &shares);
    let mut machine = qemu.spawn().context("start qemu-system-x86_64")?;
    let output = machine.stdout.take().context("qemu's output")?;
    let printer = std::thread::spawn(move || print(output));
    let ended = wait(&mut machine, &exchange, deadline);
    if ended.is_err() {
        let _ = machine.kill();
        let _ = machine.wait();
    }
    let _ = printer.join();
    ended.with_context(|| console(&exchange))?;

    let code = fs::read_to_string(exchange.file("code")).unwrap_or_default();
    code.trim().parse().with_context(|| {
        format!("the second kernel stopped before the command had ended\n{}", console(&exchange))
    })
}

/// Directories that are writable inside, each with the name under which qemu offers it.
fn shares() -> Vec<(String, PathBuf)> {
    let (repository, target) = (place::repository().to_owned(), place::target());
    let mut directories = vec![repository];
    if !target.starts_with(place::repository()) {
        directories.push(target);
    }
    directories.into_iter().enumerate().map(|(n, directory)| (format!("share{n}"), directory)).collect()
}

fn qemu(kernel: &Kernel, exchange: &Exchange, shares: &[(String, PathBuf)]) -> Command {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"]);
    qemu.args(["-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", MEMORY]);
    qemu.args(["-smp", &processors.to_string()]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(exchange.file("initramfs"));
    // A panic ends the machine. On a busy one, the kernel would take timers that come late for missing, and panic. The
    // crypto self-tests take seconds.
    qemu.args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off cryptomgr.notests=1"]);
    qemu.arg("-serial").arg(format!("file:{}", escaped(&exchange.file("console"))));
    // Not qemu's stdio: with the input at its end, qemu would take the output away too.
    qemu.args(["-device", "virtio-serial-pci", "-chardev", "file,id=output,path=/dev/stdout"]);
    qemu.args(["-device", "virtserialport,chardev=output"]);
    let share = |tag: &str, path: &Path, more: &str| {
        format!("local,mount_tag={tag},path={},security_model=none,multidevs=remap{more}", escaped(path))
    };
    qemu.arg("-virtfs").arg(share("host", Path::new("/"), ",readonly=on"));
    for (tag, path) in shares {
        qemu.arg("-virtfs").arg(share(tag, path, ""));
    }
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    guestnet_lab::die_with_parent(&mut qemu);
    qemu
}

/// In an option of qemu's a comma is written twice.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The script that is process 1.
fn init(exchange: &Exchange, shares: &[(String, PathBuf)]) -> String {
    let mut mounts = String::new();
    for (tag, path) in shares {
        let path = quoted(&path.to_string_lossy());
        mounts += &format!("mkdir -p /top{path}\nmount -t 9p -o rw,cache=mmap,$nine {tag} /top{path}\n");
    }
    let exchange = quoted(&exchange.0.to_string_lossy());
    format!(
        "#!/bin/busybox sh
busybox=/bin/busybox
for applet in mount mkdir insmod chroot cp cat poweroff sync; do alias $applet=\"$busybox $applet\"; done
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
echo > /proc/sys/kernel/modprobe
for module in /first/*; do insmod $module || echo cannot load $module; done
nine=trans=virtio,version=9p2000.L,msize=512000
mount -t tmpfs rw /rw
mkdir /rw/upper /rw/work
mount -t 9p -o ro,cache=loose,$nine host /host
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work top /top
mount --move /dev /top/dev
mkdir -p /top/dev/pts /top/dev/shm
mount -t devpts devpts /top/dev/pts
mount -t tmpfs shm /top/dev/shm
mount -t tmpfs tmp /top/tmp
mount -t tmpfs run /top/run
mount -t proc proc /top/proc
mount -t sysfs sys /top/sys
{mounts}
for module in /then/*; do insmod $module || echo cannot load $module; done
echo 1 > /proc/sys/net/core/fb_tunnels_only_for_init_net
exchange=/top{exchange}
echo yes > $exchange/booted
chroot /top /bin/sh {exchange}/command < /top/dev/null > /top/dev/vport0p1 2>&1
echo $? > $exchange/code
sync
poweroff -f
"
    )
}

/// The command as a script, with the environment. Only its owner may read it: an environment may hold secrets.
fn write_command(path: &Path, command: &[String]) -> Result<()> {
    let mut script = String::new();
    for (name, value) in std::env::vars() {
        if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name != "PWD" {
            script += &format!("export {name}={}\n", quoted(&value));
        }
    }
    script += "export PATH=\"$PATH:/usr/sbin:/sbin\" GUESTNET_SECOND_KERNEL=1\n";
    script += &format!("cd {}\n", quoted(&place::repository().to_string_lossy()));
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    script += &format!("exec {}\n", words.join(" "));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(script.as_bytes())?)
}

/// `word` for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn print(mut from: ChildStdout) {
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(&buffer[..n]).and_then(|()| out.flush());
    }
}

fn wait(machine: &mut Child, exchange: &Exchange, deadline: Duration) -> Result<()> {
    let start = Instant::now();
    while machine.try_wait()?.is_none() {
        let elapsed = start.elapsed();
        if elapsed > BOOT_DEADLINE && !exchange.file("booted").exists() {
            bail!("the second kernel has not come up in {} s", BOOT_DEADLINE.as_secs());
        }
        if elapsed > deadline {
            bail!("the command in the second kernel has not ended in {} s", deadline.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The last lines of the machine's console.
fn console(exchange: &Exchange) -> String {
    let mut bytes = Vec::new();
    let _ = File::open(exchange.file("console")).and_then(|mut file| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.split_at(lines.len().saturating_sub(25)).1.join("\n  ");
    format!("its console ends with:\n  {last}\n")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        for word in ["plain", "two words", "it's", "$HOME `id` \"x\"", "new\nline", ""] {
            let said = guestnet_lab::output(
                std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]),
            );
            assert_eq!(said.expect("printf"), word);
        }
    }
}
