//! A few threads that may get stuck, and callers that do not.
//!
//! A job whose caller gave up before it began is thrown away. One that had begun cannot be taken
//! back from the kernel; it asks [`Ticket::wanted`] right before the step that others would see.
//! Two writes to one file are never under way at once: a write that the file server finally
//! carries out late must not overtake a newer one.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ShareError;

/// Stack of a worker: the jobs are shallow, and resident memory counts.
const STACK_BYTES: usize = 128 * 1024;
/// How long a worker without work stays.
const LINGER: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce() + Send>;

/// Tells a job whether somebody still waits for it.
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// Fails when the caller has given up; ask before the step that others would see.
    pub(super) fn wanted(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "given up by its caller",
            ))
        }
    }
}

/// Dropped with the caller's future: the job is no longer wanted.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct State {
    queue: VecDeque<Job>,
    writing: HashSet<PathBuf>,
    workers: usize,
    idle: usize,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases the path of a write when its job is over, run or thrown away.
struct Writing {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.state().writing.remove(&self.path);
    }
}

/// At most `workers` threads and `limit` waiting jobs.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: usize,
    limit: usize,
}

impl Pool {
    pub(super) fn new(workers: usize, limit: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            writing: HashSet::new(),
            workers: 0,
            idle: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
            workers,
            limit,
        }
    }

    /// Runs `op` on a worker, waiting at most `deadline`, queueing included.
    pub(super) async fn run<T, F>(
        &self,
        doing: &'static str,
        path: PathBuf,
        deadline: Duration,
        op: F,
    ) -> Result<T, ShareError>
    where
        T: Send + 'static,
        F: FnOnce(&Ticket, &Path) -> io::Result<T> + Send + 'static,
    {
        let wanted = Arc::new(AtomicBool::new(true));
        let _waiting = Waiting(Arc::clone(&wanted));
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket(wanted);
        let target = path.clone();
        let job: Job = Box::new(move || {
            if ticket.wanted().is_ok() {
                // The caller may be gone by now; then the result is of no use to anybody.
                let _ = reply.send(op(&ticket, &target));
            }
        });
        if !self.submit(job) {
            return Err(ShareError::Busy { doing, path });
        }
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(cause))) => Err(ShareError::Io { doing, path, cause }),
            Ok(Err(_)) | Err(_) => Err(ShareError::Deadline {
                doing,
                path,
                deadline,
            }),
        }
    }

    /// Like [`Pool::run`], refused while an earlier write to `path` is still under way.
    pub(super) async fn run_write<T, F>(
        &self,
        doing: &'static str,
        path: PathBuf,
        deadline: Duration,
        op: F,
    ) -> Result<T, ShareError>
    where
        T: Send + 'static,
        F: FnOnce(&Ticket, &Path) -> io::Result<T> + Send + 'static,
    {
        if !self.shared.state().writing.insert(path.clone()) {
            return Err(ShareError::Busy { doing, path });
        }
        let writing = Writing {
            shared: Arc::clone(&self.shared),
            path: path.clone(),
        };
        self.run(doing, path, deadline, move |ticket, path| {
            let _writing = writing;
            op(ticket, path)
        })
        .await
    }

    /// Queues `job`, starting a worker if none is idle; false when there is no room.
    fn submit(&self, job: Job) -> bool {
        let mut state = self.shared.state();
        if state.queue.len() >= self.limit {
            return false;
        }
        state.queue.push_back(job);
        if state.idle >= state.queue.len() || state.workers == self.workers {
            self.shared.wake.notify_one();
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let name = "share".to_owned();
        let started = thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(move || work(&shared));
        match started {
            Ok(_) => state.workers += 1,
            // Without a thread the job still runs as soon as a worker is free.
            Err(_) => self.shared.wake.notify_one(),
        }
        true
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state();
    loop {
        if let Some(job) = state.queue.pop_front() {
            drop(state);
            job();
            state = shared.state();
            continue;
        }
        state.idle += 1;
        let (guard, waited) = shared
            .wake
            .wait_timeout(state, LINGER)
            .unwrap_or_else(PoisonError::into_inner);
        state = guard;
        state.idle -= 1;
        if waited.timed_out() && state.queue.is_empty() {
            state.workers -= 1;
            return;
        }
    }
}
