//! The client's access log: is the service there, seen from outside? (paper section 4.2, Fig. 12)
//!
//! Accesses follow a schedule and never overlap: one that takes long makes the log sparser, it
//! does not pile up sessions in a server that has just been resumed. For the same reason an access
//! has two time-outs: a short one until the server's machine takes the connection (that is how an
//! absent one is noticed), and a long one for the answer.
//!
//! Once a second an access is a whole session, as in the paper and as an examination makes it. In
//! between the service's greeting is enough: ten sessions a second would be a load of their own, on
//! a backup VM more than its host can spare.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::dialogue::Deadline;
use super::{Accounts, ProbeError, examine, greet};
use crate::cluster::Service;

/// When to access, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Time from the start of one access to the start of the next. After one that took longer the
    /// next begins at once, the ones after it as if none had been late.
    pub every: Duration,
    /// Time for a connection to be taken.
    pub connect_within: Duration,
    /// Time for the whole access.
    pub answer_within: Duration,
}

/// The least time between the beginnings of two whole sessions.
const WHOLE_EVERY: Duration = Duration::from_secs(1);

/// How much of a service an access wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Greeting,
    Whole,
}

impl Schedule {
    /// A schedule whose time-outs suit a machine that has just been resumed.
    pub fn every(every: Duration) -> Self {
        Self {
            every,
            connect_within: every.clamp(Duration::from_millis(300), Duration::from_secs(1)),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// Accesses the service by the schedule and writes one line for each access, until the future is
/// dropped or the log cannot be written:
///
/// ```text
/// 12:53:45.10 OK
/// 12:53:45.20 XX FTP banner: no answer within 300 ms
/// ```
///
/// The time is UTC. An `OK` bears the moment of the answer, an `XX` the moment at which the failed
/// access began: from the first `XX` to the next `OK` is the time the client went without.
///
/// # Errors
/// When a line cannot be written.
pub async fn log_accesses(
    service: Service,
    addr: Ipv4Addr,
    accounts: &Accounts,
    schedule: Schedule,
    log: &mut impl Write,
) -> io::Result<()> {
    let addr = SocketAddr::from((addr, service.port()));
    follow(schedule.every, log, async |depth| {
        let deadline =
            Deadline::new(schedule.answer_within).connecting_within(schedule.connect_within);
        match depth {
            Depth::Whole => examine(service, addr, accounts, &deadline).await,
            Depth::Greeting => greet(service, addr, accounts, &deadline).await,
        }
    })
    .await
}

async fn follow(
    every: Duration,
    log: &mut impl Write,
    mut access: impl AsyncFnMut(Depth) -> Result<(), ProbeError>,
) -> io::Result<()> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next_whole = Instant::now();
    loop {
        let due = ticks.tick().await;
        let depth = if due < next_whole {
            Depth::Greeting
        } else {
            next_whole = due + WHOLE_EVERY;
            Depth::Whole
        };
        let began = Clock::now();
        let line = match access(depth).await {
            Ok(()) => format!("{} OK\n", Clock::now()),
            Err(error) => format!("{began} XX {error}\n"),
        };
        // Unbuffered and in one piece: the log must be whole whenever the machine is stopped.
        log.write_all(line.as_bytes())?;
        log.flush()?;
    }
}

/// A moment of the day as the paper's logs write it: `hh:mm:ss.cc`, UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Clock(Duration);

impl Clock {
    fn now() -> Self {
        // A clock before 1970 is shown as midnight; it cannot stop the log.
        Self(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }
}

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.0.as_secs() % 86_400;
        let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let centis = self.0.subsec_millis() / 10;
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}.{centis:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts};

    /// A log that ends the run after some lines.
    struct Lines(Vec<String>, usize);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if self.0.len() == self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.push(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn moments_are_written_in_hundredths() {
        let clock = Clock(Duration::from_millis(86_400_000 * 20_000 + 45_825_419));
        assert_eq!(clock.to_string(), "12:43:45.41");
        assert_eq!(Clock(Duration::ZERO).to_string(), "00:00:00.00");
    }

    #[tokio::test(start_paused = true)]
    async fn accesses_never_overlap_and_return_to_the_grid() {
        let start = tokio::time::Instant::now();
        let mut begins = Vec::new();
        let mut log = Lines(Vec::new(), 4);
        let every = Duration::from_millis(100);
        let ended = follow(every, &mut log, async |_| {
            begins.push(start.elapsed().as_millis());
            let work = if begins.len() == 2 { 230 } else { 10 };
            tokio::time::sleep(Duration::from_millis(work)).await;
            Err(ProbeError::Refused {
                step: "FTP connect",
            })
        })
        .await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(begins, [0, 100, 330, 400, 500]);
        for line in &log.0 {
            assert_eq!(
                &line[11..],
                " XX FTP connect: connection refused, no service listens there\n"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_access_a_second_is_a_whole_session() {
        let mut depths = Vec::new();
        let mut log = Lines(Vec::new(), 21);
        let every = Duration::from_millis(100);
        let ended = follow(every, &mut log, async |depth| {
            depths.push(depth);
            Ok(())
        })
        .await;
        ended.unwrap_err();
        let whole = |(at, depth): (usize, &Depth)| (*depth == Depth::Whole).then_some(at);
        let whole: Vec<usize> = depths.iter().enumerate().filter_map(whole).collect();
        assert_eq!(whole, [0, 10, 20]);
    }

    #[tokio::test]
    async fn a_real_access() {
        let server = Server::play(&[Act::Hear("GET"), Act::Say("HTTP/1.0 200 OK\r\n\r\nx")]).await;
        let deadline = Deadline::new(server.ample);
        let mut log = Lines(Vec::new(), 2);
        let every = Duration::from_millis(1);
        let accounts = accounts();
        let (addr, mut server) = (server.addr, Some(server));
        let access = async |_| {
            let visited = examine(Service::Http, addr, &accounts, &deadline).await;
            // Nobody listens any more before the second visit.
            if let Some(server) = server.take() {
                server.heard_all().await;
            }
            visited
        };
        follow(every, &mut log, access).await.unwrap_err();
        assert_eq!(&log.0[0][11..], " OK\n");
        assert_eq!(
            &log.0[1][11..],
            " XX HTTP connect: connection refused, no service listens there\n"
        );
    }
}
