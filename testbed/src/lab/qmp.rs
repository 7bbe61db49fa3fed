//! QEMU's monitor: one connection for each use, since QEMU serves one at a time.

use super::error::{LabError, Result};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Commands answer at once, except when the host is very busy.
const WITHIN: Duration = Duration::from_secs(20);

/// A connection to one machine's monitor.
#[derive(Debug)]
pub struct Monitor {
    machine: String,
    stream: BufReader<UnixStream>,
}

/// Calls `told` whenever the machine begins to shut down or resets itself, until QEMU ends or `told` says
/// that it heard enough.
///
/// # Errors
/// When QEMU does not answer there, or has ended.
pub fn endings(path: &Path, told: impl Fn() -> bool) -> Result<()> {
    let mut monitor = Monitor::connect("events", path)?;
    let within = monitor.stream.get_ref().set_read_timeout(None);
    within.map_err(|e| monitor.failed("wait for events", e.to_string()))?;
    loop {
        if is_ending(&monitor.read("tell events")?) && !told() {
            return Ok(());
        }
    }
}

/// The guest agent is among the first that a shutdown ends; nothing else does.
fn is_ending(event: &Value) -> bool {
    let data = &event["data"];
    match event["event"].as_str() {
        Some("RESET") => data["guest"] == json!(true),
        Some("VSERPORT_CHANGE") => data["open"] == json!(false),
        _ => false,
    }
}

impl Monitor {
    /// Connects; a QEMU that has just been started gets a moment to make its socket.
    pub fn connect(machine: &str, path: &Path) -> Result<Monitor> {
        let failed = |what: String| LabError::Monitor {
            machine: machine.to_owned(),
            doing: "answer at its monitor".to_owned(),
            what,
        };
        let deadline = Instant::now() + WITHIN;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(e) if Instant::now() > deadline => return Err(failed(e.to_string())),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream
            .set_read_timeout(Some(WITHIN))
            .map_err(|e| failed(e.to_string()))?;
        let mut monitor = Monitor {
            machine: machine.to_owned(),
            stream: BufReader::new(stream),
        };
        monitor.read("greet")?;
        monitor.command("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Gives a command and returns what it returned; events are skipped.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let text = format!("{}\n", json!({ "execute": name, "arguments": arguments }));
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        sent.map_err(|e| self.failed(name, e.to_string()))?;
        loop {
            let mut answer = self.read(name)?;
            if let Some(error) = answer.get("error") {
                let what = error["desc"]
                    .as_str()
                    .unwrap_or("it gives no reason")
                    .to_owned();
                return Err(self.failed(name, what));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// QEMU's word for what the machine does: `running`, `paused`, `inmigrate` ...
    pub fn status(&mut self) -> Result<String> {
        let answer = self.command("query-status", json!({}))?;
        Ok(answer["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Saves memory and devices of a stopped machine to `file`.
    pub fn save(&mut self, file: &Path, within: Duration) -> Result<()> {
        self.map_memory()?;
        self.command(
            "migrate",
            json!({ "uri": format!("file:{}", file.display()) }),
        )?;
        let deadline = Instant::now() + within;
        loop {
            let progress = self.command("query-migrate", json!({}))?;
            match progress["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let why = progress["error-desc"]
                        .as_str()
                        .unwrap_or("it gives no reason");
                    return Err(self.failed("save its state", why.to_owned()));
                }
                _ if Instant::now() > deadline => {
                    return Err(LabError::timeout(
                        &self.machine,
                        "save its state",
                        within,
                        "",
                    ));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Loads a saved state into a QEMU that was started to wait for one; it is then paused.
    pub fn load(&mut self, file: &Path, within: Duration) -> Result<()> {
        self.map_memory()?;
        self.command(
            "migrate-incoming",
            json!({ "uri": format!("file:{}", file.display()) }),
        )?;
        let deadline = Instant::now() + within;
        // `cont` sent while the state is still being loaded would be lost.
        loop {
            match self.status()?.as_str() {
                "inmigrate" if Instant::now() > deadline => {
                    return Err(LabError::timeout(
                        &self.machine,
                        "load its state",
                        within,
                        "",
                    ));
                }
                "inmigrate" => std::thread::sleep(Duration::from_millis(20)),
                _ => return Ok(()),
            }
        }
    }

    /// Makes neighbours and the switch learn where the machine's addresses are.
    pub fn announce(&mut self) -> Result<()> {
        let plan = json!({ "initial": 50, "max": 550, "rounds": 5, "step": 100 });
        self.command("announce-self", plan).map(drop)
    }

    fn map_memory(&mut self) -> Result<()> {
        let mapped = json!([{ "capability": "mapped-ram", "state": true }]);
        self.command(
            "migrate-set-capabilities",
            json!({ "capabilities": mapped }),
        )
        .map(drop)
    }

    fn read(&mut self, doing: &str) -> Result<Value> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        match read {
            Ok(0) => Err(self.failed(doing, "it closed the connection".to_owned())),
            Ok(_) => serde_json::from_str(&line).map_err(|e| self.failed(doing, e.to_string())),
            Err(e) => Err(self.failed(doing, e.to_string())),
        }
    }

    fn failed(&self, doing: &str, what: String) -> LabError {
        LabError::Monitor {
            machine: self.machine.clone(),
            doing: doing.to_owned(),
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_from_other_events() {
        let ends = |text: &str| is_ending(&serde_json::from_str(text).unwrap());
        let port = |open| {
            format!(r#"{{"event": "VSERPORT_CHANGE", "data": {{"id": "ga", "open": {open}}}}}"#)
        };
        assert!(ends(&port(false)));
        assert!(!ends(&port(true)));
        let reset = |guest| format!(r#"{{"event": "RESET", "data": {{"guest": {guest}}}}}"#);
        assert!(ends(&reset(true)));
        assert!(!ends(&reset(false)));
        assert!(!ends(r#"{"event": "RESUME"}"#));
    }
}
