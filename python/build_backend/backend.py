"""Builds the package with maturin, after a look whether what it needs is there: so that `pip install` says what is missing
in a sentence, where a compiler would say it in a hundred lines.
"""

import os
import shutil
import subprocess

from maturin import *  # noqa: F401,F403
from maturin import build_editable as _build_editable
from maturin import build_wheel as _build_wheel

LIBRARIES = {"libmnl": "libmnl-dev", "libnftnl": "libnftnl-dev"}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    look()
    return _build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    look()
    return _build_editable(wheel_directory, config_settings, metadata_directory)


def get_requires_for_build_wheel(config_settings=None):
    # This is asked first, before anything is installed or built.
    look()
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def look():
    lacking = [package for package, there in needs() if not there]
    if lacking:
        raise SystemExit(
            "guestnet is built from Rust and links C libraries, and this machine lacks: " + ", ".join(lacking) + ".\n"
            "In a checkout `cargo xtask deps` installs the libraries on Debian and its kin, as does "
            "`apt-get install pkg-config libmnl-dev libnftnl-dev`; Rust comes from rustup."
        )


def needs():
    yield "Rust (cargo, on the PATH)", bool(shutil.which("cargo"))
    yield "a C compiler (gcc)", bool(shutil.which("cc"))
    pkg_config = shutil.which(os.environ.get("PKG_CONFIG", "pkg-config"))
    yield "pkg-config", bool(pkg_config)
    # Without it nobody knows.
    for library, package in LIBRARIES.items() if pkg_config else ():
        yield package, subprocess.call([pkg_config, "--exists", library]) == 0
