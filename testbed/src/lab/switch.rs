//! The LAN: a switch in this process that every machine's QEMU joins through a unix socket.
//!
//! One thread, one `ppoll` loop. Each machine has a listening socket; QEMU's `-netdev stream`
//! connects to it, so a machine that is off is one without a connection. Nothing here needs root
//! or an interface of the host. The switch is also the lab's instrument: it captures what machines
//! send, carries the [`Faults`], and stands in for the network cards of machines that are off,
//! which listen for wake-on-LAN packets.

use super::error::{LabError, Result};
use super::fabric::{Counts, Fabric, Port};
use super::fault::{Effect, Fault, Faults, Scope};
use super::frame::{self, Frame};
use super::network::{self, Spec};
use super::pcap::Capture;
use super::plug::Plug;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The loop comes round at least this often, to write the capture out.
const IDLE: Duration = Duration::from_millis(200);
/// Frames due within this are delivered now: a poll cannot be timed more finely.
const GRAIN: Duration = Duration::from_micros(50);

/// The running switch.
#[derive(Debug)]
pub struct Switch {
    faults: Faults,
    dir: PathBuf,
    counts: Arc<Mutex<Counts>>,
    written_out: Arc<Mutex<Instant>>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Switch {
    /// Starts the switch with its sockets in `dir` and the capture in `capture`.
    ///
    /// The receiver yields the name of each sleeping machine that a wake-on-LAN packet reached.
    pub fn start(
        machines: &[Spec],
        dir: &Path,
        capture: &Path,
    ) -> Result<(Switch, Receiver<&'static str>)> {
        let faults = Faults::default();
        let fabric = Fabric::new(
            machines.iter().map(|m| (m.name, m.link_mbit_per_s)),
            faults.clone(),
        );
        let mut plugs = Vec::new();
        for machine in machines {
            plugs.push(Plug::listen(machine, &socket(dir, machine.name))?);
        }
        let (stop, stopped) = UnixStream::pair().map_err(LabError::io("make a socket in", dir))?;
        let (wake, wakes) = channel();
        let counts = Arc::new(Mutex::new(Counts::default()));
        let capture = Capture::create(capture)?;
        let written_out = Arc::new(Mutex::new(Instant::now()));
        let runner = Runner {
            fabric,
            plugs,
            capture,
            wake,
            stopped,
            counts: counts.clone(),
            written_out: written_out.clone(),
        };
        let thread = std::thread::spawn(move || runner.run());
        let switch = Switch {
            faults,
            dir: dir.to_owned(),
            counts,
            written_out,
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((switch, wakes))
    }

    /// The socket that the machine's QEMU connects to.
    pub fn socket(&self, machine: &str) -> PathBuf {
        socket(&self.dir, machine)
    }

    /// Pulls the machine's cable at the switch. Its own end still sees a carrier.
    pub fn cut(&self, machine: &str) -> Result<Fault> {
        network::find(machine)?;
        Ok(self
            .faults
            .make(Scope::Link(machine.to_owned()), Effect::Drop))
    }

    /// Loses `percent` of the frames that go from one machine to another; none means any.
    pub fn lose(&self, from: Option<&str>, to: Option<&str>, percent: u8) -> Result<Fault> {
        self.one_way(from, to, Effect::Lose(percent))
    }

    /// Delays the frames that go from one machine to another; none means any.
    pub fn delay(&self, from: Option<&str>, to: Option<&str>, by: Duration) -> Result<Fault> {
        self.one_way(from, to, Effect::Delay(by))
    }

    /// Parts these machines from all others.
    pub fn partition(&self, machines: &[&str]) -> Result<Fault> {
        for machine in machines {
            network::find(machine)?;
        }
        let inside = machines.iter().map(|m| (*m).to_owned()).collect();
        Ok(self.faults.make(Scope::Border(inside), Effect::Drop))
    }

    /// Frames counted so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes out the capture: what machines had sent before this call is then in its file.
    pub fn flush(&self) -> Result<()> {
        let before = Instant::now();
        while *self
            .written_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            < before
        {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(LabError::Other("the LAN switch has ended".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends the switch; an error if it had failed.
    pub fn stop(&mut self) -> Result<()> {
        self.stop = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(LabError::Other("the LAN switch panicked".to_owned())),
        }
    }

    fn one_way(&self, from: Option<&str>, to: Option<&str>, effect: Effect) -> Result<Fault> {
        for machine in [from, to].into_iter().flatten() {
            network::find(machine)?;
        }
        let name = |end: Option<&str>| end.map(str::to_owned);
        Ok(self.faults.make(
            Scope::Way {
                from: name(from),
                to: name(to),
            },
            effect,
        ))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn socket(dir: &Path, machine: &str) -> PathBuf {
    dir.join(format!("{machine}.lan"))
}

struct Runner {
    fabric: Fabric,
    plugs: Vec<Plug>,
    capture: Capture,
    wake: Sender<&'static str>,
    stopped: UnixStream,
    counts: Arc<Mutex<Counts>>,
    written_out: Arc<Mutex<Instant>>,
}

/// What `ppoll` said of one port.
struct Ready {
    port: Port,
    connection: bool,
    frames: bool,
}

impl Runner {
    fn run(mut self) -> Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let mut frames = Vec::new();
        let mut written_out = Instant::now();
        while let Some(ready) = self.wait()? {
            for Ready {
                port,
                connection,
                frames: readable,
            } in ready
            {
                if readable {
                    let wire = self.plugs[port].wire.as_mut();
                    if !wire.is_none_or(|w| w.read(&mut buffer, &mut frames)) {
                        self.unplug(port);
                    }
                    self.take(port, &mut frames)?;
                }
                if connection && self.plugs[port].accept()? {
                    self.fabric.forget(port);
                }
            }
            self.deliver();
            if written_out.elapsed() > IDLE {
                self.capture.flush()?;
                written_out = Instant::now();
                *self
                    .written_out
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = written_out;
                *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.fabric.counts();
            }
        }
        for plug in &self.plugs {
            std::fs::remove_file(&plug.path).map_err(LabError::io("remove", &plug.path))?;
        }
        self.capture.flush()
    }

    /// Waits until there is something to do; none when the switch is to end.
    fn wait(&self) -> Result<Option<Vec<Ready>>> {
        let mut fds = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        let mut places = vec![(0, true)];
        for (port, plug) in self.plugs.iter().enumerate() {
            fds.push(PollFd::new(plug.listener.as_fd(), PollFlags::POLLIN));
            places.push((port, true));
            if let Some(wire) = &plug.wire {
                let mut events = PollFlags::POLLIN;
                events.set(PollFlags::POLLOUT, !wire.unsent.is_empty());
                fds.push(PollFd::new(wire.stream.as_fd(), events));
                places.push((port, false));
            }
        }
        let due = self.fabric.next_due();
        let sleep = due.map_or(IDLE, |at| {
            at.saturating_duration_since(Instant::now()).min(IDLE)
        });
        match ppoll(&mut fds, Some(TimeSpec::from_duration(sleep)), None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(LabError::Other(format!("the LAN switch cannot poll: {e}"))),
        }
        if fds[0].any() == Some(true) {
            return Ok(None);
        }
        let told = fds
            .iter()
            .zip(places)
            .skip(1)
            .filter(|(fd, _)| fd.any() == Some(true));
        let ready = told.map(|(fd, (port, connection))| {
            let events = fd.revents().unwrap_or(PollFlags::empty());
            let frames = !connection && events != PollFlags::POLLOUT;
            Ready {
                port,
                connection,
                frames,
            }
        });
        Ok(Some(ready.collect()))
    }

    fn take(&mut self, port: Port, frames: &mut Vec<Frame>) -> Result<()> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        for frame in frames.drain(..) {
            self.capture.record(clock, &frame)?;
            self.fabric.receive(now, port, frame);
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let now = Instant::now() + GRAIN;
        while let Some((port, frame)) = self.fabric.deliver(now) {
            let plug = &mut self.plugs[port];
            if plug.wire.is_some() {
                plug.queue(&frame);
            } else if frame::wakes(&frame) == Some(plug.machine.mac) {
                // Nobody listens when the lab is going down.
                let _ = self.wake.send(plug.machine.name);
            }
        }
        for port in 0..self.plugs.len() {
            if self.plugs[port].wire.as_mut().is_some_and(|w| !w.write()) {
                self.unplug(port);
            }
        }
    }

    fn unplug(&mut self, port: Port) {
        self.plugs[port].wire = None;
        self.fabric.forget(port);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{ALL, frame, magic_packet};
    use super::super::network::{MACHINES, find};
    use super::*;
    use std::io::{Read, Write};

    struct Nic(UnixStream);

    impl Nic {
        fn join(switch: &Switch, machine: &str) -> Nic {
            let stream = UnixStream::connect(switch.socket(machine)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            Nic(stream)
        }

        fn send(&mut self, frame: &[u8]) {
            let head = (frame.len() as u32).to_be_bytes();
            self.0.write_all(&[&head[..], frame].concat()).unwrap();
        }

        fn get(&mut self) -> Vec<u8> {
            let mut head = [0; 4];
            self.0.read_exact(&mut head).unwrap();
            let mut body = vec![0; u32::from_be_bytes(head) as usize];
            self.0.read_exact(&mut body).unwrap();
            body
        }
    }

    #[test]
    fn carries_frames_wakes_the_sleeping_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let capture = dir.path().join("lan.pcap");
        let (mut switch, wakes) = Switch::start(&MACHINES, dir.path(), &capture).unwrap();
        let (mut mail, mut ftp) = (Nic::join(&switch, "mail"), Nic::join(&switch, "ftp"));
        let mac = |name| find(name).unwrap().mac;
        let hello = frame(ALL, mac("mail"), [8, 0], &[1; 60]);
        mail.send(&hello);
        assert_eq!(ftp.get(), hello.to_vec());

        // To a machine that is on, a wake-on-LAN packet is a frame like any other.
        let wake = frame(ALL, mac("mail"), [8, 0x42], &magic_packet(mac("ftp")));
        mail.send(&wake);
        assert_eq!(ftp.get(), wake.to_vec());
        drop(ftp);
        // Until the switch has seen the end of the connection the packet goes to a dead machine.
        let woken = (0..100).find_map(|_| {
            mail.send(&wake);
            wakes.recv_timeout(Duration::from_millis(50)).ok()
        });
        assert_eq!(woken, Some("ftp"));

        let cut = switch.cut("mail").unwrap();
        while wakes.recv_timeout(Duration::from_millis(200)).is_ok() {}
        mail.send(&wake);
        assert!(wakes.recv_timeout(Duration::from_millis(300)).is_err());
        drop(cut);
        mail.send(&wake);
        assert_eq!(wakes.recv_timeout(Duration::from_secs(5)), Ok("ftp"));

        switch.stop().unwrap();
        assert!(!switch.socket("mail").exists());
        assert!(std::fs::metadata(capture).unwrap().len() > 24);
        assert!(switch.cut("print").is_err());
    }
}
