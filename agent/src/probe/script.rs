//! Tiny scripted servers on loopback for the tests of the examinations.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Accounts;
use crate::cluster::ProbeAccounts;

/// A deadline that a busy test machine keeps easily.
pub(super) fn ample() -> Duration {
    Duration::from_secs(20)
}

/// A deadline that is meant to run out.
pub(super) fn short() -> Duration {
    Duration::from_millis(150)
}

pub(super) fn accounts() -> Accounts {
    let settings = ProbeAccounts {
        password: "secret".into(),
        proxy_url: "http://web.example/".into(),
        ..ProbeAccounts::default()
    };
    Accounts {
        settings,
        ssh_key: "/etc/ringward/probe.key".into(),
    }
}

/// What a scripted server does next. After the last act it closes the connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Say(&'static str),
    /// Says `227` with this port.
    SayPassive(u16),
    /// Reads until a line that starts with this; the test fails if it never comes.
    Hear(&'static str),
    /// Never answers again.
    Hang,
    /// Says it a byte at a time, far too slowly.
    Drip(&'static str),
    /// Says 64 KiB of this byte and no line end.
    Flood(u8),
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) ample: Duration,
    task: JoinHandle<Result<(), String>>,
}

impl Server {
    /// Serves one connection by the script.
    pub(super) async fn play(acts: &[Act]) -> Self {
        Self::play_each(&[acts]).await
    }

    /// Serves as many connections as there are scripts, one after the other.
    pub(super) async fn play_each(scripts: &[&[Act]]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let scripts: Vec<Vec<Act>> = scripts.iter().map(|acts| acts.to_vec()).collect();
        let task = tokio::spawn(async move {
            for acts in scripts {
                let (stream, _) = listener.accept().await.map_err(|e| e.to_string())?;
                serve(stream, &acts).await?;
            }
            Ok(())
        });
        Self {
            addr,
            ample: ample(),
            task,
        }
    }

    /// An address where nothing listens.
    pub(super) async fn nobody() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    }

    /// Waits for the end of the script, which must have heard all it wanted to hear.
    pub(super) async fn heard_all(self) {
        timeout(self.ample, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

async fn serve(mut stream: TcpStream, acts: &[Act]) -> Result<(), String> {
    let mut heard = Vec::new();
    for act in acts {
        match *act {
            Act::Say(text) => say(&mut stream, text.as_bytes()).await?,
            Act::SayPassive(port) => {
                let [high, low] = port.to_be_bytes();
                let text = format!("227 Entering Passive Mode (10,9,8,7,{high},{low}).\r\n");
                say(&mut stream, text.as_bytes()).await?;
            }
            Act::Hear(start) => hear(&mut stream, &mut heard, start).await?,
            Act::Hang => sleep(ample()).await,
            Act::Drip(text) => {
                for byte in text.as_bytes() {
                    say(&mut stream, &[*byte]).await?;
                    sleep(short() / 3).await;
                }
            }
            Act::Flood(byte) => say(&mut stream, &vec![byte; 64 * 1024]).await?,
        }
    }
    // Unread bytes would turn the close into a reset that overtakes the last words.
    stream.shutdown().await.map_err(|e| e.to_string())?;
    let _ = timeout(short(), stream.read_to_end(&mut heard)).await;
    Ok(())
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|e| e.to_string())
}

async fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>, start: &str) -> Result<(), String> {
    loop {
        while let Some(end) = heard.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            if line.starts_with(start.as_bytes()) {
                return Ok(());
            }
        }
        match stream.read_buf(heard).await {
            Ok(0) => return Err(format!("hung up before `{start}`")),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
