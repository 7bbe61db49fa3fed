//! A machine's serial console in this terminal.

use super::error::{LabError, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Ctrl-]: leaves the console, as in telnet.
const LEAVE: u8 = 0x1d;

/// Puts the terminal back as it was.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Raw> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.0);
    }
}

/// Connects this terminal to the console until Ctrl-], the end of input, or the machine's end.
pub fn attach(name: &str, socket: &Path) -> Result<()> {
    let failed = LabError::io("connect to the console", socket);
    let mut console = UnixStream::connect(socket).map_err(failed)?;
    let mut from = console
        .try_clone()
        .map_err(LabError::io("read the console", socket))?;
    let terminal = stdin().is_terminal();
    if terminal {
        eprintln!("Console of {name}; Ctrl-] leaves it. Press Enter for a prompt.");
    }
    let raw = if terminal { Raw::enter() } else { None };
    let printer = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = from.read(&mut buffer) {
            let shown = stdout()
                .write_all(&buffer[..n])
                .and_then(|()| stdout().flush());
            if n == 0 || shown.is_err() {
                break;
            }
        }
    });
    let mut buffer = [0; 256];
    while !printer.is_finished() {
        match stdin().read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => {
                let typed = &buffer[..n];
                let end = typed.iter().position(|b| terminal && *b == LEAVE);
                if console.write_all(&typed[..end.unwrap_or(n)]).is_err() || end.is_some() {
                    break;
                }
            }
        }
    }
    if !terminal {
        // What was piped in has to be carried out; the last words are in console.log anyway.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    // Already closed is as good.
    let _ = console.shutdown(Shutdown::Both);
    let _ = printer.join();
    drop(raw);
    Ok(())
}
