//! What building and testing need of the machine, and installing it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use guestnet_lab::{Firewalld, output};

use crate::run::{find, run};
use crate::{packages, python, vm};

/// How one sees that something is there. The state of the package says less: it may have come another way.
enum Sign {
    Program(&'static str),
    PkgConfig(&'static str),
    /// Something that Debian's own Python can import.
    Module(&'static str),
    /// A Python that can make virtual environments, which Debian's can't by itself.
    Python,
}

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Self::Program(name) => find(name).is_some(),
            Self::PkgConfig(name) => has_pkg_config(name),
            Self::Module(name) => {
                let mut python = Command::new("/usr/bin/python3");
                python.args(["-c", &format!("import {name}")]).stderr(Stdio::null());
                python.status().is_ok_and(|status| status.success())
            }
            Self::Python => python::newest().is_some(),
        }
    }
}

struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
}

const ALWAYS: &[Need] = &[
    Need { package: "gcc", sign: Sign::Program("cc"), why: "links Rust programs" },
    Need { package: "pkg-config", sign: Sign::Program("pkg-config"), why: "finds libmnl and libnftnl" },
    Need { package: "libmnl-dev", sign: Sign::PkgConfig("libmnl"), why: "the nft crate links it" },
    Need { package: "libnftnl-dev", sign: Sign::PkgConfig("libnftnl"), why: "the nft crate links it" },
    Need { package: "iproute2", sign: Sign::Program("ip"), why: "tests compare with what ip shows" },
    Need { package: "nftables", sign: Sign::Program("nft"), why: "tests compare with what nft shows" },
    Need {
        package: "iptables",
        sign: Sign::Program("iptables-nft"),
        why: "writes rules of others that the doctor is tested with",
    },
    Need { package: "dnsmasq-base", sign: Sign::Program("dnsmasq"), why: "serves DHCP to guests in the lab" },
    Need { package: "procps", sign: Sign::Program("sysctl"), why: "tests compare with what sysctl shows" },
    Need { package: "strace", sign: Sign::Program("strace"), why: "tests kill at, and count, system calls" },
    Need { package: "iputils-ping", sign: Sign::Program("ping"), why: "goes through the tunnels in tests" },
    Need { package: "udhcpc", sign: Sign::Program("udhcpc"), why: "is the guests' DHCP client in the lab" },
    Need {
        package: "isc-dhcp-client",
        sign: Sign::Program("dhclient"),
        why: "is the guests' DHCPv6 client in the lab",
    },
    Need {
        package: "systemd",
        sign: Sign::Program("systemctl"),
        why: "runs the command in units with mounts of their own",
    },
    Need { package: "man-db", sign: Sign::Program("man"), why: "tests render the man pages" },
    Need {
        package: "python3-venv",
        sign: Sign::Python,
        why: "has the Python package built, installed, tested",
    },
    Need { package: "python3-scapy", sign: Sign::Program("scapy3"), why: "decrypts what tests capture" },
    Need {
        package: "python3-cryptography",
        sign: Sign::Module("cryptography"),
        why: "has the ciphers for scapy",
    },
    Need { package: "ruby", sign: Sign::Program("ruby"), why: "tests run the example in Ruby" },
    Need { package: "jq", sign: Sign::Program("jq"), why: "the example in shell reads records with it" },
];

const EMULATION: &[Need] = &[Need {
    package: "qemu-system-x86",
    sign: Sign::Program("qemu-system-x86_64"),
    why: "runs real guests, and a second kernel where the running one lacks something",
}];

const COUNTING: &[Need] =
    &[Need { package: "valgrind", sign: Sign::Program("valgrind"), why: "counts instructions" }];

const FUZZING: &[Need] = &[Need {
    package: "g++",
    sign: Sign::Program("c++"),
    why: "builds libFuzzer, the engine of cargo xtask fuzz",
}];

/// Installs what is missing, after saying what and why.
pub fn install() -> Result<()> {
    install_missing(ALWAYS)
}

/// Installs what is missing and fetches what tests run beside guestnet: real guests, and firewalld.
pub fn install_all() -> Result<()> {
    install()?;
    vm::prepare_guests()?;
    // Its package would start it, on the developer's own network.
    let why = "stands beside guestnet in tests, in namespaces of theirs";
    packages::unpack(&Firewalld::place(), why, || with_dependencies("firewalld"))
}

/// `package`, and of what it depends on what is not installed.
fn with_dependencies(package: &str) -> Result<Vec<String>> {
    let mut simulation = Command::new("apt-get");
    simulation.args(["-qq", "--simulate", "install", "--no-install-recommends", package]);
    let said = output(&mut simulation)?;
    let missing = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let others = missing.filter(|name| *name != package);
    Ok(std::iter::once(package).chain(others).map(str::to_owned).collect())
}

/// Installs what runs real guests and the second kernel, if it is missing.
pub fn install_for_emulation() -> Result<()> {
    install_missing(EMULATION)
}

/// Installs what counts instructions, if it is missing.
pub fn install_for_counting() -> Result<()> {
    install_missing(COUNTING)
}

/// Installs what builds the engine of fuzzing, if it is missing.
pub fn install_for_fuzzing() -> Result<()> {
    install_missing(FUZZING)
}

fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.sign.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing from Debian:");
    for need in &missing {
        println!("  {:16} {}", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !has_lists() || apt_get_install(&packages).is_err() {
        run(apt_get()?.arg("update"))?;
        apt_get_install(&packages)?;
    }
    match missing.iter().find(|need| !need.sign.is_there()) {
        Some(need) => bail!("{} was installed and is still not found", need.package),
        None => Ok(()),
    }
}

/// Whether `apt-get` knows which packages there are.
pub fn has_lists() -> bool {
    let lists = std::fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    lists.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

/// `apt-get`, with the rights to install.
pub fn apt_get() -> Result<Command> {
    find("apt-get").context("this is no Debian machine: install what is missing by hand")?;
    if guestnet_lab::is_root() {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    find("sudo").context("not root, and there is no sudo: run `cargo xtask deps` as root")?;
    let mut command = Command::new("sudo");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}

fn apt_get_install(packages: &[&str]) -> Result<()> {
    run(apt_get()?.args(["install", "-qq", "--yes", "--no-install-recommends"]).args(packages))
}

fn has_pkg_config(name: &str) -> bool {
    let file = format!("{name}.pc");
    let triplets = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut places = triplets.map(|entry| entry.path().join("pkgconfig")).collect::<Vec<_>>();
    places.extend(["/usr/lib/pkgconfig", "/usr/share/pkgconfig"].map(|place| Path::new(place).to_owned()));
    let path = std::env::var_os("PKG_CONFIG_PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    places.iter().any(|place| place.join(&file).is_file())
}
