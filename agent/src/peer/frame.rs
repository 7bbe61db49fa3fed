//! Frames: length as u32, big endian, then JSON, at most [`FRAME_LIMIT_BYTES`].

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest frame, in bytes. Messages are a few hundred bytes long.
pub const FRAME_LIMIT_BYTES: usize = 64 * 1024;

/// What a connection carries: `at_ms` is how long the connection had been up at the sender.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Frame<M> {
    pub(super) at_ms: u64,
    /// Nothing in the first frame, which only starts the measurement of delays.
    pub(super) message: Option<M>,
}

/// A frame as it goes over the wire.
pub(super) fn encode<M: Serialize>(frame: &Frame<M>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = bytes.len() - 4;
    if length > FRAME_LIMIT_BYTES {
        return Err(too_long(length));
    }
    // The limit is far below u32::MAX.
    bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// Writes the bytes of one frame.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Reads the bytes of one frame into `buffer`; false at the end of the connection.
pub(super) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_LIMIT_BYTES {
        return Err(too_long(length));
    }
    buffer.clear();
    buffer.resize(length, 0);
    from.read_exact(buffer).await?;
    Ok(true)
}

/// What is in the bytes of a frame.
pub(super) fn parse<M: DeserializeOwned>(bytes: &[u8]) -> io::Result<Frame<M>> {
    Ok(serde_json::from_slice(bytes)?)
}

fn too_long(length: usize) -> io::Error {
    let text = format!("a frame of {length} bytes; the limit is {FRAME_LIMIT_BYTES}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_read_back_and_the_wire_form_is_stable() {
        let mut wire = Vec::new();
        let frame = Frame {
            at_ms: 12,
            message: Some("up".to_owned()),
        };
        write(&mut wire, &encode(&frame).unwrap()).await.unwrap();
        assert_eq!(&wire[..4], [0, 0, 0, 27]);
        assert_eq!(&wire[4..], br#"{"at_ms":12,"message":"up"}"#);
        let mut buffer = Vec::new();
        assert!(read(&mut wire.as_slice(), &mut buffer).await.unwrap());
        let back: Frame<String> = parse(&buffer).unwrap();
        assert_eq!(back.message.as_deref(), Some("up"));
        assert!(!read(&mut &wire[..0], &mut buffer).await.unwrap());
    }

    #[tokio::test]
    async fn oversized_frames_are_refused_on_both_sides() {
        let frame = Frame {
            at_ms: 0,
            message: Some("x".repeat(FRAME_LIMIT_BYTES)),
        };
        let error = encode(&frame).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let wire = [0, 1, 0, 1];
        let error = read(&mut wire.as_slice(), &mut Vec::new())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a frame of 65537 bytes; the limit is 65536"
        );
    }
}
