//! A reader for capture files in the classic pcap format, as the lab's LAN switch writes them.
//!
//! Reads one frame at a time, because a capture holds whole memory images on their way over NFS.

use std::io::{ErrorKind, Read};
use std::time::Duration;

/// Longest frame that is taken for real; a larger length field means a damaged file.
const FRAME_MAX: u32 = 256 * 1024;
/// Link type of Ethernet.
const ETHERNET: u32 = 1;

/// Why a capture could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The system refused.
    #[error("reading the capture")]
    Io(#[from] std::io::Error),
    /// The first four bytes are none of pcap's.
    #[error("not a pcap file: it starts with {0:#010x}, expected one of pcap's magic numbers")]
    Magic(u32),
    /// Another link layer than Ethernet.
    #[error("the capture's link type is {0}, expected Ethernet (1)")]
    Link(u32),
    /// A length that no frame has.
    #[error("frame {index} claims {length} bytes; the capture is damaged from there on")]
    Length {
        /// Which frame, counted from 0.
        index: u64,
        /// What its header says.
        length: u32,
    },
}

/// One captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was seen, since 1970 by the clock of the machine that runs the lab.
    pub at: Duration,
    /// Its first bytes, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// Reads frame after frame.
#[derive(Debug)]
pub struct Capture<R> {
    from: R,
    big_endian: bool,
    nanoseconds: bool,
    index: u64,
}

impl<R: Read> Capture<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// When it is not a pcap file of Ethernet frames.
    pub fn new(mut from: R) -> Result<Self, PcapError> {
        let mut header = [0_u8; 24];
        from.read_exact(&mut header)?;
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let (big_endian, nanoseconds) = match u32::from_le_bytes(word(0)) {
            0xa1b2_c3d4 => (false, false),
            0xd4c3_b2a1 => (true, false),
            0xa1b2_3c4d => (false, true),
            0x4d3c_b2a1 => (true, true),
            other => return Err(PcapError::Magic(other)),
        };
        let link = number(word(20), big_endian);
        if link & 0xffff != ETHERNET {
            return Err(PcapError::Link(link));
        }
        Ok(Self {
            from,
            big_endian,
            nanoseconds,
            index: 0,
        })
    }

    /// The next frame; `None` at the end. A frame cut short by the end of the file is the end:
    /// the switch may have been stopped while it wrote.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, PcapError> {
        let mut header = [0_u8; 16];
        if !fill(&mut self.from, &mut header)? {
            return Ok(None);
        }
        let word = |at: usize| {
            number(
                [header[at], header[at + 1], header[at + 2], header[at + 3]],
                self.big_endian,
            )
        };
        let length = word(8);
        if length > FRAME_MAX {
            return Err(PcapError::Length {
                index: self.index,
                length,
            });
        }
        let mut bytes = vec![0; length as usize];
        if !fill(&mut self.from, &mut bytes)? {
            return Ok(None);
        }
        self.index += 1;
        let fraction = if self.nanoseconds {
            Duration::from_nanos(u64::from(word(4)))
        } else {
            Duration::from_micros(u64::from(word(4)))
        };
        Ok(Some(Frame {
            at: Duration::from_secs(u64::from(word(0))) + fraction,
            bytes,
        }))
    }
}

fn number(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

/// Fills `into`; false at the end of the file.
fn fill(from: &mut impl Read, into: &mut [u8]) -> Result<bool, std::io::Error> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A capture of `frames`, little endian with microseconds.
    pub(crate) fn capture(frames: &[(Duration, Vec<u8>)]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
            file.extend(word.to_le_bytes());
        }
        for (at, bytes) in frames {
            let length = u32::try_from(bytes.len()).unwrap();
            let seconds = u32::try_from(at.as_secs()).unwrap();
            for word in [seconds, at.subsec_micros(), length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn frames_come_back_as_written_and_a_cut_last_one_is_the_end() {
        let first = (Duration::from_micros(1_500_000), vec![1, 2, 3]);
        let second = (Duration::from_secs(2), vec![4; 60]);
        let mut file = capture(&[first.clone(), second]);
        file.truncate(file.len() - 1);
        let mut capture = Capture::new(&file[..]).unwrap();
        let frame = capture.next_frame().unwrap().unwrap();
        assert_eq!((frame.at, frame.bytes), first);
        assert_eq!(capture.next_frame().unwrap(), None);
    }

    #[test]
    fn big_endian_captures_with_nanoseconds_are_read() {
        let mut file = Vec::new();
        for word in [0xa1b2_3c4d_u32, 0x0002_0004, 0, 0, 65535, 1, 7, 9, 1, 1] {
            file.extend(word.to_be_bytes());
        }
        file.push(0xff);
        let frame = Capture::new(&file[..])
            .unwrap()
            .next_frame()
            .unwrap()
            .unwrap();
        assert_eq!(
            frame,
            Frame {
                at: Duration::new(7, 9),
                bytes: vec![0xff]
            }
        );
    }

    #[test]
    fn what_is_not_a_capture_is_refused() {
        let text = b"this is a text file, not a capture";
        assert!(matches!(Capture::new(&text[..]), Err(PcapError::Magic(_))));
        let mut damaged = capture(&[(Duration::ZERO, vec![0; 4])]);
        damaged[24 + 8..24 + 12].fill(0xff);
        let error = Capture::new(&damaged[..])
            .unwrap()
            .next_frame()
            .unwrap_err();
        assert!(matches!(error, PcapError::Length { index: 0, .. }));
    }
}
