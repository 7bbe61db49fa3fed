//! What is to happen when, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use ringward::manage::Now;

/// What is due within this time goes into the lane: a message's way, which most are.
const SOON: Duration = Duration::from_millis(1);

/// A queue by time; what is due at the same moment comes out in the order it went in.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// What is due soon and after all that is here already, so that it needs no sorting.
    lane: VecDeque<(Now, u64, T)>,
    /// All else, its items in their places.
    heap: BinaryHeap<Reverse<(Now, u64, usize)>>,
    items: Vec<Option<T>>,
    free: Vec<usize>,
    serial: u64,
    /// When the last one was due that came out.
    now: Now,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            lane: VecDeque::new(),
            heap: BinaryHeap::new(),
            items: Vec::new(),
            free: Vec::new(),
            serial: 0,
            now: Now::default(),
        }
    }

    pub(super) fn push(&mut self, at: Now, item: T) {
        self.serial += 1;
        let last = self.lane.back().map_or(self.now, |(at, ..)| *at);
        if at >= last && at <= self.now + SOON {
            self.lane.push_back((at, self.serial, item));
            return;
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.items[place] = Some(item);
                place
            }
            None => {
                self.items.push(Some(item));
                self.items.len() - 1
            }
        };
        self.heap.push(Reverse((at, self.serial, place)));
    }

    /// Takes out what is due first, if it is due by `end`.
    pub(super) fn pop_until(&mut self, end: Now) -> Option<(Now, T)> {
        let waits = self.heap.peek();
        let waits = waits.map(|Reverse((at, serial, _))| (*at, *serial));
        let soon = self.lane.front().map(|(at, serial, _)| (*at, *serial));
        let next = soon.into_iter().chain(waits).min()?;
        if next.0 > end {
            return None;
        }
        self.now = next.0;
        if soon == Some(next) {
            return self.lane.pop_front().map(|(at, _, item)| (at, item));
        }
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        self.items[place].take().map(|item| (at, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lane_changes_no_order() {
        let mut queue = Queue::new();
        let at = |micros| Now(Duration::from_micros(micros));
        for micros in [1000, 300, 1000, 5000, 2000, 700] {
            queue.push(at(micros), micros);
        }
        let mut seen = Vec::new();
        while let Some((now, item)) = queue.pop_until(at(6000)) {
            seen.push((now, item));
            if item == 1000 {
                queue.push(now + SOON, 2001);
                queue.push(now + SOON / 2, 1500);
            }
        }
        let seen: Vec<u64> = seen.into_iter().map(|(_, item)| item).collect();
        assert_eq!(
            seen,
            [300, 700, 1000, 1000, 1500, 1500, 2000, 2001, 2001, 5000]
        );
    }

    #[test]
    fn by_time_then_by_turn() {
        let mut queue = Queue::new();
        for (at, item) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b'), (9, 'e')] {
            queue.push(Now::from_millis(at), item);
        }
        let mut seen = String::new();
        while let Some((at, item)) = queue.pop_until(Now::from_millis(5)) {
            seen.push(item);
            if item == 'a' {
                queue.push(at, 'x');
            }
        }
        assert_eq!(seen, "abxcd");
    }
}
