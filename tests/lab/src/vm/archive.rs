//! The initial file system that a kernel boots with.

/// A cpio archive in the format "newc": Documentation/driver-api/early-userspace/buffer-format.rst.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    /// Adds a file or a directory: `mode` says which, as `st_mode` of stat(2) does.
    pub fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let (inode, links, mtime) = (self.entries, 1, 0);
        let header = format!(
            "070701{inode:08x}{mode:08x}{uid:08x}{gid:08x}{links:08x}{mtime:08x}{size:08x}{zero:08x}{zero:08x}{zero:08x}\
             {zero:08x}{name_size:08x}{zero:08x}",
            uid = 0,
            gid = 0,
            zero = 0,
            size = content.len(),
            name_size = name.len() + 1,
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::Archive;

    #[test]
    fn an_entry_has_the_header_that_the_kernel_wants() {
        let mut archive = Archive::default();
        archive.add("ab", 0o100_644, b"xyz");
        let text = String::from_utf8(archive.finish()).expect("text");
        assert!(text.starts_with("07070100000001000081a4"), "{text}");
        assert_eq!(&text[54..62], "00000003", "the size of the content");
        assert_eq!(&text[94..102], "00000003", "the size of the name with its end");
        assert_eq!(&text[110..120], "ab\0\0\0\0xyz\0", "both padded to a multiple of 4");
        assert_eq!(text.len() % 4, 0);
    }

    #[test]
    fn busybox_lists_the_archive() {
        let mut archive = Archive::default();
        archive.add("directory", 0o040_755, &[]);
        archive.add("directory/file", 0o100_644, b"content");
        let cpio =
            Command::new("busybox").args(["cpio", "-t"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cpio = cpio.expect("busybox, which udhcpc needs too");
        cpio.stdin.take().expect("piped").write_all(&archive.finish()).expect("written");
        let listed = cpio.wait_with_output().expect("ended");
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "directory\ndirectory/file\n");
    }
}
