//! The switch's end of a machine's cable: a unix socket that its QEMU connects to.

use super::error::{LabError, Result};
use super::frame::{Frame, Splitter};
use super::network::Spec;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What waits for a machine that does not read (frozen, say), in octets, before frames are dropped.
const UNREAD_LIMIT: usize = 1 << 20;

/// One machine's place at the switch.
pub(super) struct Plug {
    pub(super) machine: Spec,
    pub(super) path: PathBuf,
    pub(super) listener: UnixListener,
    pub(super) wire: Option<Wire>,
}

/// The connection of a machine that is on.
pub(super) struct Wire {
    pub(super) stream: UnixStream,
    inward: Splitter,
    pub(super) unsent: Vec<u8>,
}

impl Plug {
    /// Makes the socket that the machine's QEMU will connect to.
    pub(super) fn listen(machine: &Spec, path: &Path) -> Result<Plug> {
        let listener = UnixListener::bind(path).map_err(LabError::io("listen at", path))?;
        listener
            .set_nonblocking(true)
            .map_err(LabError::io("listen at", path))?;
        Ok(Plug {
            machine: *machine,
            path: path.to_owned(),
            listener,
            wire: None,
        })
    }

    /// The machine's QEMU connects: a new one replaces an old one.
    pub(super) fn accept(&mut self) -> Result<bool> {
        match self.listener.accept() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(LabError::io("accept at", &self.path)(e)),
            Ok((stream, _)) => {
                stream
                    .set_nonblocking(true)
                    .map_err(LabError::io("accept at", &self.path))?;
                let inward = Splitter::default();
                self.wire = Some(Wire {
                    stream,
                    inward,
                    unsent: Vec::new(),
                });
                Ok(true)
            }
        }
    }

    /// Adds a frame to what is to be sent; a machine that is off gets none.
    pub(super) fn queue(&mut self, frame: &Frame) {
        let Some(wire) = &mut self.wire else { return };
        if wire.unsent.len() + frame.len() <= UNREAD_LIMIT {
            wire.unsent
                .extend_from_slice(&(frame.len() as u32).to_be_bytes());
            wire.unsent.extend_from_slice(frame);
        }
    }
}

impl Wire {
    /// Reads what there is; false at the end of the stream.
    pub(super) fn read(&mut self, buffer: &mut [u8], frames: &mut Vec<Frame>) -> bool {
        match self.stream.read(buffer) {
            Ok(0) => false,
            Ok(n) => self
                .inward
                .push(&buffer[..n], |frame| frames.push(frame))
                .is_ok(),
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Writes what can be written; false if the other end is gone.
    pub(super) fn write(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
