//! Commands inside a machine, through its qemu-guest-agent: no login, no network, no back door.

use super::cancel::Cancel;
use super::error::{LabError, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a machine that is up may take for a small command; emulated and busy, it takes seconds.
pub const SMALL: Duration = Duration::from_secs(20);

/// Bytes of a file in one message.
const AT_ONCE: usize = 512 << 10;

/// How often a wait looks whether it should go on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a command inside a machine printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 plus the number for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Whether it ended with status 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Both outputs, on one line, for an error.
    pub fn said(&self) -> String {
        super::bundle::last_lines(&[&self.stderr[..], &self.stdout[..]].concat())
    }
}

/// The agent of one machine. Its connection is made when it is needed and kept.
#[derive(Debug)]
pub struct Guest {
    machine: String,
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
    cancel: Cancel,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    pending: Vec<u8>,
    cancel: Cancel,
}

impl Guest {
    /// The agent behind the socket `path`. What waits for it gives up when `cancel` is set.
    pub fn new(machine: &str, path: &Path, cancel: Cancel) -> Guest {
        Guest {
            machine: machine.to_owned(),
            path: path.to_owned(),
            connection: Mutex::default(),
            cancel,
        }
    }

    /// Whether the agent answers.
    pub fn ping(&self, within: Duration) -> Result<()> {
        self.call("guest-ping", json!({}), within).map(drop)
    }

    /// Runs a program (found by PATH) and waits for its end.
    pub fn exec(&self, argv: &[&str], within: Duration) -> Result<Output> {
        let (program, args) = argv.split_first().unwrap_or((&"true", &[]));
        let order = json!({ "path": program, "arg": args, "capture-output": true });
        let deadline = Instant::now() + within;
        let small = within.min(SMALL);
        let started = self.call("guest-exec", order, small)?;
        let pid = started["pid"].clone();
        let mut pause = Duration::from_millis(10);
        loop {
            let status = self.call("guest-exec-status", json!({ "pid": pid }), small)?;
            if status["exited"] == true {
                return self.output(&status);
            }
            if Instant::now() > deadline {
                let doing = format!("finish `{}`", argv.join(" "));
                return Err(LabError::timeout(&self.machine, &doing, within, ""));
            }
            self.cancel.sleep(pause)?;
            // The guest's agent logs every question; an emulated machine has better things to do.
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Starts a program and does not wait for it.
    pub fn start(&self, argv: &[&str]) -> Result<()> {
        let (program, args) = argv.split_first().unwrap_or((&"true", &[]));
        self.call("guest-exec", json!({ "path": program, "arg": args }), SMALL)
            .map(drop)
    }

    /// A whole file.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let out = self.exec(&["cat", "--", path], Duration::from_secs(60))?;
        if out.ok() {
            Ok(out.stdout)
        } else {
            Err(self.failed(&format!("read {path}"), out.said()))
        }
    }

    /// What a file holds from the byte `from` on. Starts no process, unlike [`Guest::read_file`].
    pub fn read_on(&self, path: &str, from: u64) -> Result<Vec<u8>> {
        let open = json!({ "path": path, "mode": "r" });
        let handle = self.call("guest-file-open", open, SMALL)?;
        let read = self.read_handle(&handle, from);
        self.call("guest-file-close", json!({ "handle": handle }), SMALL)?;
        read
    }

    fn read_handle(&self, handle: &Value, from: u64) -> Result<Vec<u8>> {
        let seek = json!({ "handle": handle, "offset": from, "whence": "set" });
        self.call("guest-file-seek", seek, SMALL)?;
        let mut content = Vec::new();
        loop {
            let order = json!({ "handle": handle, "count": AT_ONCE });
            let answer = self.call("guest-file-read", order, SMALL)?;
            content.extend(self.decode(&answer["buf-b64"])?);
            if answer["eof"] == true {
                return Ok(content);
            }
        }
    }

    /// Replaces a file.
    pub fn write_file(&self, path: &str, content: &[u8]) -> Result<()> {
        let open = json!({ "path": path, "mode": "w" });
        let handle = self.call("guest-file-open", open, SMALL)?;
        for chunk in content.chunks(AT_ONCE) {
            let order = json!({ "handle": handle, "buf-b64": STANDARD.encode(chunk) });
            self.call("guest-file-write", order, SMALL)?;
        }
        self.call("guest-file-close", json!({ "handle": handle }), SMALL)
            .map(drop)
    }

    /// Sets the guest's clock from the host's.
    pub fn set_time(&self) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let time = json!({ "time": now.as_nanos() as u64 });
        match self.call("guest-set-time", time, SMALL) {
            // The system clock is set by then; only writing the emulated RTC, which has its own
            // time from the host, did not work.
            Err(LabError::Guest { what, .. }) if what.contains("hwclock") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Forgets the connection: the machine's QEMU has ended.
    pub fn disconnect(&self) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn output(&self, status: &Value) -> Result<Output> {
        let code = match (status["exitcode"].as_i64(), status["signal"].as_i64()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(0),
        };
        Ok(Output {
            code: code as i32,
            stdout: self.decode(&status["out-data"])?,
            stderr: self.decode(&status["err-data"])?,
        })
    }

    fn decode(&self, part: &Value) -> Result<Vec<u8>> {
        STANDARD
            .decode(part.as_str().unwrap_or_default())
            .map_err(|e| self.failed("answer in base64", e.to_string()))
    }

    fn call(&self, name: &str, arguments: Value, within: Duration) -> Result<Value> {
        let deadline = Instant::now() + within;
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let broken = |e: std::io::Error| match e.kind() {
            ErrorKind::Interrupted => LabError::Interrupted,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                LabError::timeout(&self.machine, &format!("answer {name}"), within, "")
            }
            _ => self.failed(name, e.to_string()),
        };
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open(&self.path, &self.cancel, deadline).map_err(broken)?,
        };
        let order = json!({ "execute": name, "arguments": arguments });
        let answer = connection.ask(&order, deadline).map_err(broken)?;
        *slot = Some(connection);
        match answer.get("error") {
            None => Ok(answer["return"].clone()),
            Some(error) => Err(self.failed(name, error["desc"].to_string())),
        }
    }

    fn failed(&self, doing: &str, what: String) -> LabError {
        LabError::Guest {
            machine: self.machine.clone(),
            doing: doing.to_owned(),
            what,
        }
    }
}

impl Connection {
    /// Connects and gets in step: what earlier connections asked may still be answered.
    fn open(path: &Path, cancel: &Cancel, deadline: Instant) -> std::io::Result<Connection> {
        let mut connection = Connection {
            stream: UnixStream::connect(path)?,
            pending: Vec::new(),
            cancel: cancel.clone(),
        };
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let id = since.as_nanos() as u32;
        let order = json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } });
        connection.stream.write_all(&[0xff])?;
        let mut answer = connection.ask(&order, deadline)?;
        while answer["return"] != id {
            answer = connection.answer(deadline)?;
        }
        Ok(connection)
    }

    fn ask(&mut self, order: &Value, deadline: Instant) -> std::io::Result<Value> {
        self.stream.write_all(format!("{order}\n").as_bytes())?;
        self.answer(deadline)
    }

    /// The next line that is JSON. The agent sets a 0xff octet before an answer to a sync.
    fn answer(&mut self, deadline: Instant) -> std::io::Result<Value> {
        let mut buffer = [0; 65536];
        loop {
            while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).filter(|b| *b != 0xff).collect();
                if let Ok(value) = serde_json::from_slice(&line) {
                    return Ok(value);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            if self.cancel.is_set() {
                return Err(ErrorKind::Interrupted.into());
            }
            self.stream.set_read_timeout(Some(left.min(LOOK_EVERY)))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    /// An agent that first answers an older request, then syncs, then obeys.
    fn agent(listener: UnixListener) {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).split(b'\n');
        let mut say = &stream;
        say.write_all(b"{\"return\": 7}\n").unwrap();
        while let Some(Ok(line)) = lines.next() {
            let line: Vec<u8> = line.into_iter().filter(|b| *b != 0xff).collect();
            let order: Value = serde_json::from_slice(&line).unwrap();
            let answer = match order["execute"].as_str().unwrap() {
                "guest-sync-delimited" => {
                    say.write_all(&[0xff]).unwrap();
                    json!({ "return": order["arguments"]["id"] })
                }
                "guest-exec" => json!({ "return": { "pid": 5 } }),
                "guest-exec-status" => json!({ "return": {
                    "exited": true, "exitcode": 3, "out-data": "aGkK", "err-data": "bm8K" } }),
                "guest-set-time" => json!({ "error": { "desc": "hwclock failed to set" } }),
                other => json!({ "error": { "desc": format!("unknown {other}") } }),
            };
            say.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
    }

    #[test]
    fn gets_in_step_and_returns_both_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ftp.ga");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || agent(listener));
        let guest = Guest::new("ftp", &path, Cancel::default());
        let out = guest.exec(&["ls", "/"], SMALL).unwrap();
        assert_eq!(
            (out.code, out.text().as_str(), out.said().as_str()),
            (3, "hi\n", "no | hi")
        );
        guest.set_time().unwrap();
        let error = guest.ping(SMALL).unwrap_err().to_string();
        assert!(
            error.starts_with("the guest agent of ftp did not guest-ping"),
            "{error}"
        );
        guest.disconnect();
        thread.join().unwrap();
    }
}
