//! Writing a tar stream: the way to give files their owners without being root.
//!
//! `mke2fs -d -` fills a file system from a tar stream and takes owners and modes from it, while
//! from a directory it takes those of the invoking user.

use super::error::{LabError, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What an entry holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file with these octets.
    Bytes(Vec<u8>),
    /// A file as long as, and with the octets of, a file of the host.
    File(PathBuf),
}

/// One file or directory.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path inside the volume, without a leading slash; at most 100 octets.
    pub path: String,
    /// What it holds.
    pub content: Content,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Entry {
    /// A directory of root, for all to enter.
    pub fn directory(path: &str) -> Entry {
        let content = Content::Directory;
        Entry {
            path: path.to_owned(),
            content,
            uid: 0,
            gid: 0,
            mode: 0o755,
        }
    }

    /// A file of root, for all to read.
    pub fn file(path: &str, content: impl Into<Vec<u8>>) -> Entry {
        let content = Content::Bytes(content.into());
        Entry {
            path: path.to_owned(),
            content,
            uid: 0,
            gid: 0,
            mode: 0o644,
        }
    }

    /// A copy of a file of the host; root's, for all to read.
    pub fn copy(path: &str, from: &Path) -> Entry {
        Entry {
            content: Content::File(from.to_owned()),
            ..Entry::file(path, "")
        }
    }

    /// The same for another owner.
    pub fn owned(self, uid: u32, gid: u32) -> Entry {
        Entry { uid, gid, ..self }
    }

    /// The same with other permission bits.
    pub fn mode(self, mode: u32) -> Entry {
        Entry { mode, ..self }
    }

    /// How many octets it holds.
    pub fn octets(&self) -> Result<u64> {
        match &self.content {
            Content::Directory => Ok(0),
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
            Content::File(path) => Ok(std::fs::metadata(path)
                .map_err(LabError::io("read", path))?
                .len()),
        }
    }
}

/// Writes the entries and the end mark.
pub fn write(entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
    for entry in entries {
        let size = entry.octets().map_err(io::Error::other)?;
        out.write_all(&header(entry, size)?)?;
        match &entry.content {
            Content::Directory => {}
            Content::Bytes(bytes) => out.write_all(bytes)?,
            Content::File(path) => {
                let copied = io::copy(&mut File::open(path)?.take(size), out)?;
                if copied != size {
                    return Err(io::Error::other(format!("{} has shrunk", path.display())));
                }
            }
        }
        out.write_all(&vec![0; (size.next_multiple_of(512) - size) as usize])?;
    }
    out.write_all(&[0; 1024])
}

/// A POSIX ustar header.
fn header(entry: &Entry, size: u64) -> io::Result<[u8; 512]> {
    let mut block = [0; 512];
    let name = entry.path.as_bytes();
    if name.len() > 100 || size >= 1 << 33 {
        return Err(io::Error::other(format!(
            "{} does not fit a tar header",
            entry.path
        )));
    }
    block[..name.len()].copy_from_slice(name);
    let mut octal = |at: usize, digits: usize, value: u64| {
        block[at..at + digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
    };
    octal(100, 7, u64::from(entry.mode));
    octal(108, 7, u64::from(entry.uid));
    octal(116, 7, u64::from(entry.gid));
    octal(124, 11, size);
    octal(136, 11, 0);
    block[156] = if matches!(entry.content, Content::Directory) {
        b'5'
    } else {
        b'0'
    };
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_owner_mode_and_size() {
        let entry = Entry::file("home/probe", "secret")
            .owned(1500, 1501)
            .mode(0o600);
        let mut out = Vec::new();
        write(&[entry], &mut out).unwrap();
        assert_eq!(out.len(), 512 + 512 + 1024);
        assert_eq!(&out[100..124], b"0000600\x000002734\x000002735\x00");
        assert_eq!(&out[124..136], b"00000000006\x00");
        assert_eq!(&out[512..518], b"secret");
        let sum: u64 = out[..148]
            .iter()
            .chain(&out[156..512])
            .map(|b| u64::from(*b))
            .sum();
        assert_eq!(&out[148..154], format!("{:06o}", sum + 8 * 32).as_bytes());
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let error = write(&[Entry::file(&"x".repeat(101), "")], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("does not fit"));
    }
}
