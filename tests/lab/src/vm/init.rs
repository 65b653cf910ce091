//! What a guest boots into: busybox, the driver of its network card, and a script that configures it and obeys.

use std::fs;

use anyhow::Result;

use super::{Archive, Kernel, Modules};
use crate::dhcp;

/// The file in the guest in which the DHCP client says what it was given.
pub const LEASE: &str = "/run/lease";
/// The line that ends an answer starts with it; the exit code follows.
pub const END: char = '=';
/// Each line of a command's output starts with it.
pub const LINE: char = '|';

const DRIVERS: &[&str] = &["virtio_pci", "virtio_net"];

/// Commands come as lines on the second serial line, and are answered there; the first is the kernel's console.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s /bin
export PATH=/bin LEASE=/run/lease
for module in /modules/*; do insmod $module; done
ip link set lo up
ip link set eth0 up
udhcpc -f -i eth0 -t 5 -T 1 -A 1 -O mtu -O staticroutes -s /bin/lease -p /run/udhcpc.pid > /run/udhcpc.log 2>&1 &
exec 3<> /dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo =0 >&3
while read -r command <&3; do
    sh -c "$command" > /run/answer 2>&1 < /dev/null 3>&-
    code=$?
    { cat /run/answer; echo; } | sed 's/^/|/' >&3
    echo "=$code" >&3
done
poweroff -f
"#;

/// The initial file system.
pub fn build(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "run", "modules"] {
        archive.add(directory, 0o040_755, &[]);
    }
    archive.add("bin/busybox", 0o100_755, &fs::read(&kernel.busybox)?);
    archive.add("bin/lease", 0o100_755, dhcp::SCRIPT.as_bytes());
    archive.add("init", 0o100_755, INIT.as_bytes());
    for (number, (name, bytes)) in Modules::of(kernel)?.load_order(DRIVERS)?.iter().enumerate() {
        // In the order of their numbers, which the shell's `*` keeps.
        archive.add(&format!("modules/{number:02}-{name}.ko"), 0o100_644, bytes);
    }
    Ok(archive.finish())
}
