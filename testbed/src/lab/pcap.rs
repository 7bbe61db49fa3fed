//! The capture: everything that a machine sent, in one file that any pcap reader opens.

use super::error::{LabError, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Octets kept of each frame: headers and the dialogue of every service, not bulk data.
pub const SNAP_OCTETS: usize = 512;
/// The capture stops growing here; the last record then is older than the run.
pub const LIMIT_OCTETS: u64 = 1 << 30;

/// An open capture.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
}

impl Capture {
    /// Starts a capture in a new file.
    pub fn create(path: &Path) -> Result<Capture> {
        let file = File::create(path).map_err(LabError::io("create", path))?;
        let mut capture = Capture {
            path: path.to_owned(),
            file: BufWriter::new(file),
            written: 0,
        };
        let header = [
            &0xa1b2_c3d4_u32.to_le_bytes()[..], // microseconds
            &2_u16.to_le_bytes(),               // version 2.4
            &4_u16.to_le_bytes(),
            &[0; 8], // UTC, accuracy
            &(SNAP_OCTETS as u32).to_le_bytes(),
            &1_u32.to_le_bytes(), // Ethernet
        ]
        .concat();
        capture.put(&header)?;
        Ok(capture)
    }

    /// Adds a frame.
    pub fn record(&mut self, at: SystemTime, frame: &[u8]) -> Result<()> {
        if self.written > LIMIT_OCTETS {
            return Ok(());
        }
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let kept = &frame[..frame.len().min(SNAP_OCTETS)];
        let head = [
            (since.as_secs() as u32).to_le_bytes(),
            since.subsec_micros().to_le_bytes(),
            (kept.len() as u32).to_le_bytes(),
            (frame.len() as u32).to_le_bytes(),
        ]
        .concat();
        self.put(&head)?;
        self.put(kept)
    }

    /// Hands what is buffered to the file.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(LabError::io("write", &self.path))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(LabError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_how_long_the_frame_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lan.pcap");
        let mut capture = Capture::create(&path).unwrap();
        let at = UNIX_EPOCH + Duration::from_micros(5_000_007);
        capture.record(at, &[7; 1000]).unwrap();
        capture.flush().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 24 + 16 + SNAP_OCTETS);
        assert_eq!(
            bytes[24..40],
            [5, 0, 0, 0, 7, 0, 0, 0, 0, 2, 0, 0, 0xe8, 3, 0, 0]
        );
    }
}
