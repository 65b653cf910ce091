//! Reading what a user gives: a file or a stream, as a whole, of bounded length, wiped when it is dropped, since there may
//! be secrets in it.

use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// The longest document, in bytes. A host of 100,000 guests has a fifth of it.
pub const LONGEST: usize = 256 << 20;

/// Reads the regular file at `path`, of at most `longest` bytes. A FIFO would be waited for, and a device may have no end or
/// do something when it is opened.
///
/// # Errors
/// Errors of the system; for anything but a regular file, one that says its kind.
pub fn file(path: &Path, longest: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    regular(fs::metadata(path)?.file_type())?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    // Something else may stand there by now.
    regular(file.metadata()?.file_type())?;
    stream(file, longest)
}

fn regular(found: FileType) -> io::Result<()> {
    let what = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a FIFO",
        found if found.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(format!("it is {what}, and only regular files are read")))
}

/// Reads all that `stream` has, at most `longest` bytes. A vector that grows leaves copies of what it held: so it is made
/// large enough, and copied where it was not.
///
/// # Errors
/// Errors of the system; `Other` where there is more.
pub fn stream(mut stream: impl Read, longest: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut piece = Zeroizing::new(vec![0; longest.clamp(1, 1 << 16)]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(n) if bytes.len() + n > longest => {
                return Err(io::Error::other(format!("it is longer than {longest} bytes")));
            }
            Ok(n) => {
                if bytes.capacity() - bytes.len() < n {
                    let mut larger = Zeroizing::new(Vec::with_capacity(2 * (bytes.len() + n)));
                    larger.extend_from_slice(&bytes);
                    bytes = larger;
                }
                bytes.extend_from_slice(&piece[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_may_be() {
        let text = vec![b'x'; 200_000];
        for longest in [0, 1, 65_536, 199_999] {
            let said = stream(&text[..], longest).unwrap_err().to_string();
            assert_eq!(said, format!("it is longer than {longest} bytes"));
        }
        for longest in [200_000, LONGEST] {
            assert_eq!(*stream(&text[..], longest).unwrap(), text);
        }
        assert!(stream(io::repeat(1), 1 << 20).is_err() && stream(io::empty(), 0).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = std::env::temp_dir().join(format!("guestnet-input-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let fifo = folder.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let socket = folder.join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for (path, words) in [
            (fifo.as_path(), "it is a FIFO, and only regular files are read"),
            (&link, "it is a FIFO"),
            (&socket, "it is a socket"),
            (&folder, "it is a directory"),
            (Path::new("/dev/zero"), "it is a device"),
        ] {
            let said = file(path, LONGEST).unwrap_err().to_string();
            assert!(said.starts_with(words), "{}: {said}", path.display());
        }
        let good = folder.join("good");
        fs::write(&good, "text").unwrap();
        assert_eq!(file(&good, 4).unwrap().as_slice(), b"text");
        assert!(file(&good, 3).is_err());
        assert_eq!(file(&folder.join("none"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(&folder).unwrap();
    }
}
