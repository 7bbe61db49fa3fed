//! Seeds: none breaks a rule, and one goes the same way twice.

use ringward::cluster::{Profile, Topology};

use crate::sim::draw::{Frame, draw};
use crate::sim::play::play;

fn frame(servers: usize) -> Frame {
    Frame {
        servers,
        topology: Topology::Ring,
        profile: Profile::Paper,
        hours: 0.5,
    }
}

fn clean(seeds: std::ops::Range<u64>, frame: &Frame) {
    for seed in seeds {
        let outcome = play(&draw(seed, frame), false).unwrap();
        assert!(
            outcome.is_clean(),
            "seed {seed}, {frame:?}:\n{}",
            outcome.report(false)
        );
    }
}

#[test]
fn six_servers() {
    clean(1..7, &frame(6));
}

#[test]
fn few_servers() {
    for servers in 1..=3 {
        clean(1..4, &frame(servers));
    }
}

#[test]
fn fast_timings() {
    let fast = Frame {
        profile: Profile::Fast,
        ..frame(6)
    };
    clean(1..4, &fast);
}

#[test]
fn a_star() {
    let star = Frame {
        topology: Topology::Star,
        ..frame(6)
    };
    clean(1..4, &star);
}

#[test]
fn a_seed_gives_the_same_log_byte_for_byte() {
    let report = || {
        let outcome = play(&draw(4, &frame(6)), true).unwrap();
        assert!(outcome.log.len() > 100);
        outcome.report(true)
    };
    assert_eq!(report(), report());
}
