//! Tables 1 and 2 of the paper as formulas, for any number of servers.
//!
//! `n` counts target servers. The proposed method ("P2P", a ring) has no other servers; the
//! conventional one ("MSBS", a star) has a management server beside them (section 2.1).

/// Table 1, P2P: target servers per management server.
#[must_use]
pub fn ring_targets(n: usize) -> usize {
    match n {
        0 | 1 => 0,
        2 => 1,
        _ => 2,
    }
}

/// Table 1, MSBS.
#[must_use]
pub fn star_targets(n: usize) -> usize {
    n
}

/// Table 2, P2P: the most virtual servers that one management server starts when `k` of `n` are in
/// trouble. The paper counts on from 1 after half of them, and gives n - 1 for the last.
#[must_use]
pub fn ring_startups(n: usize, k: usize) -> usize {
    let half = n / 2;
    if k + 1 == n {
        k
    } else if k <= half {
        1
    } else {
        k - half + 1
    }
}

/// The same with the k virtual servers spread evenly over the n - k servers that are left.
#[must_use]
pub fn ideal_startups(n: usize, k: usize) -> usize {
    k.div_ceil(n - k)
}

/// Table 2, MSBS.
#[must_use]
pub fn star_startups(k: usize) -> usize {
    k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_rows() {
        let row = |n: usize| -> Vec<usize> { (1..n).map(|k| ring_startups(n, k)).collect() };
        assert_eq!(row(2), [1]);
        assert_eq!(row(6), [1, 1, 1, 2, 5]);
        assert_eq!(row(10), [1, 1, 1, 1, 1, 2, 3, 4, 9]);
        assert_eq!([2, 3, 4].map(ring_targets), [1, 2, 2]);
    }

    #[test]
    fn spread_evenly_there_are_never_more_than_the_paper_says() {
        for n in 2..200 {
            assert!((1..n).all(|k| ideal_startups(n, k) <= ring_startups(n, k)));
        }
    }
}
