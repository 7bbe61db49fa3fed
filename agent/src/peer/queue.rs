//! What waits for a connection: bounded, and nothing stays in it beyond its time.
//!
//! When it is full the oldest message goes, not the newest: what is said now matters more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Queue<M> {
    waiting: Mutex<VecDeque<(Instant, M)>>,
    added: Notify,
    limit: usize,
    fresh: Duration,
}

impl<M> Queue<M> {
    pub(super) fn new(limit: usize, fresh: Duration) -> Self {
        let waiting = Mutex::new(VecDeque::new());
        Self {
            waiting,
            added: Notify::new(),
            limit,
            fresh,
        }
    }

    /// Adds `message`; the oldest makes room.
    pub(super) fn push(&self, message: M) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.limit {
            waiting.pop_front();
        }
        waiting.push_back((Instant::now(), message));
        self.added.notify_one();
    }

    /// The oldest message that is still fresh; waits for one. Safe to cancel.
    pub(super) async fn next(&self) -> M {
        loop {
            if let Some(message) = self.pop() {
                return message;
            }
            self.added.notified().await;
        }
    }

    fn pop(&self) -> Option<M> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((added, message)) = waiting.pop_front() {
            if added.elapsed() <= self.fresh {
                return Some(message);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stale_and_surplus_messages_are_dropped_oldest_first() {
        let queue = Queue::new(2, Duration::from_secs(2));
        for n in 1..=3 {
            queue.push(n);
        }
        assert_eq!(queue.next().await, 2);
        tokio::time::advance(Duration::from_millis(2001)).await;
        queue.push(4);
        assert_eq!(queue.next().await, 4);
        assert_eq!(queue.pop(), None);
    }
}
