//! The connection to systemd: D-Bus messages over a socket of its own.
//!
//! Who greets line by line and sends a message right behind the last line waits now and then: systemd
//! looks at that message only when another one comes. So the whole greeting goes out at once, and
//! nothing else before it is answered.

use std::io;
use std::path::Path;

use dbus::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Root introduces itself (its user number 0, in hexadecimal digits of its text) and begins.
/// systemd asks the kernel whether that is so.
const GREETING: &[u8] = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
/// So much of a message tells how long it is.
const HEADER: usize = 16;

pub(super) struct Wire {
    stream: UnixStream,
    serial: u32,
}

impl Wire {
    pub(super) async fn open(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(GREETING).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            answer.push(stream.read_u8().await?);
        }
        if !answer.starts_with(b"OK ") {
            let said = String::from_utf8_lossy(&answer);
            return Err(damaged(format!("it answered our greeting with {said:?}")));
        }
        Ok(Self { stream, serial: 0 })
    }

    pub(super) async fn send(&mut self, mut message: Message) -> io::Result<()> {
        self.serial += 1;
        message.set_serial(self.serial);
        let mut data = Vec::new();
        message.marshal(|part| {
            data.extend_from_slice(part);
            io::Result::Ok(())
        })?;
        self.stream.write_all(&data).await
    }

    pub(super) async fn receive(&mut self) -> io::Result<Message> {
        let mut data = vec![0; HEADER];
        self.stream.read_exact(&mut data).await?;
        let whole = Message::demarshal_bytes_needed(&data)
            .map_err(|()| damaged("its answer is no D-Bus message".into()))?;
        data.resize(whole, 0);
        self.stream.read_exact(&mut data[HEADER..]).await?;
        Message::demarshal(&data).map_err(|error| damaged(error.to_string()))
    }
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
