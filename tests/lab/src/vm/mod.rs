//! Real guests: Debian's kernel and busybox under QEMU, without hardware virtualisation, on the host's tap.
//!
//! A guest boots in two seconds. It gets its addresses as any system does, by DHCP and from router advertisements, and
//! then runs the commands that a test gives it. It sees nothing of the machine but the tap.

mod archive;
mod init;
mod kernel;
mod machine;
mod module;

pub use archive::Archive;
pub use kernel::Kernel;
pub use machine::{Vm, need_vm};
pub use module::Modules;
