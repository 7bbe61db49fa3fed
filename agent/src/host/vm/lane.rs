//! A thread with a connection to libvirt of its own.
//!
//! Calls to libvirt block, some for seconds. Each VM has a lane: what concerns one VM happens in
//! order, and restoring one does not hold up the renewal of another's virtual address.

use std::sync::{Arc, mpsc};
use std::thread;

use tokio::sync::oneshot;
use virt::connect::Connect;

use super::VmError;
use super::settings::VmSettings;

/// What a job may use.
pub(super) struct Desk<'a> {
    pub(super) connection: &'a Connect,
    pub(super) settings: &'a VmSettings,
    wanted: &'a dyn Fn() -> bool,
}

impl Desk<'_> {
    /// Ends a job between two steps when nobody waits for it any more: what was right when it was
    /// asked for may be wrong now.
    pub(super) fn still_wanted(&self) -> Result<(), VmError> {
        if (self.wanted)() {
            Ok(())
        } else {
            Err(VmError::Abandoned)
        }
    }
}

type Job = Box<dyn FnOnce(&mut Line) + Send>;

/// The queue of a lane. Dropped, its thread ends after the jobs that are queued.
#[derive(Debug)]
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
}

impl Lane {
    pub(super) fn start(name: &str, settings: Arc<VmSettings>) -> Result<Self, VmError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let mut line = Line {
            settings,
            connection: None,
        };
        thread::Builder::new()
            .name(format!("vm {name}"))
            .spawn(move || {
                while let Ok(job) = queue.recv() {
                    job(&mut line);
                }
            })
            .map_err(VmError::file("start a thread for", name))?;
        Ok(Self { jobs })
    }

    /// Queues a job and waits for its result. A caller that stops waiting takes the job back,
    /// unless its last step has begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Desk<'_>) -> Result<T, VmError> + Send + 'static,
    ) -> Result<T, VmError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |line| {
            if answer.is_closed() {
                return;
            }
            let wanted = || !answer.is_closed();
            let done = line.open().and_then(|()| match &line.connection {
                Some(connection) => job(&Desk {
                    connection,
                    settings: &line.settings,
                    wanted: &wanted,
                }),
                None => Err(VmError::Abandoned),
            });
            let _ = answer.send(done);
        });
        self.jobs.send(job).map_err(|_| VmError::Abandoned)?;
        result.await.unwrap_or(Err(VmError::Abandoned))
    }
}

/// A connection that is opened again when the daemon was restarted.
struct Line {
    settings: Arc<VmSettings>,
    connection: Option<Connect>,
}

impl Line {
    fn open(&mut self) -> Result<(), VmError> {
        if self
            .connection
            .as_ref()
            .is_some_and(|open| open.is_alive().unwrap_or(false))
        {
            return Ok(());
        }
        self.connection = None;
        let uri = &self.settings.uri;
        let opened = Connect::open(Some(uri)).map_err(|source| VmError::Connect {
            uri: uri.clone(),
            source,
        })?;
        self.connection = Some(opened);
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = connection.close();
        }
    }
}
