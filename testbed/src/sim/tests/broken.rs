//! Each rule of the audit, seen to be broken when what it rests on is left out on purpose.

use ringward::cluster::{Profile, Topology};

use crate::sim::audit::Rule;
use crate::sim::draw::{Frame, draw};
use crate::sim::play::play_with;
use crate::sim::scenario::Scenario;
use crate::sim::world::Sabotage;

/// Plays `faults` as they should go, then with the sabotage; the rule that is broken then.
fn broken(servers: usize, faults: &str, until: f64, sabotage: Sabotage) -> Rule {
    let text = format!(
        "title = \"t\"\nshows = \"s\"\nservers = {servers}\nfaults = [\n{faults}\n]\n\
         until = {until:?}\nends = \"anyhow\"\n"
    );
    let scenario = Scenario::parse("t.toml", &text).unwrap();
    let good = play_with(&scenario, true, None).unwrap();
    assert!(good.is_clean(), "{}", good.report(false));
    let bad = play_with(&scenario, true, Some(sabotage)).unwrap();
    let report = bad.report(false);
    bad.audit
        .violation
        .unwrap_or_else(|| panic!("{report}"))
        .rule
}

const OFF: &str = "{ at = 25.0, fault = \"power-off\", server = \"ftp\" },";
const FROZEN: &str = "{ at = 25.0, fault = \"freeze\", server = \"ftp\" },";
/// ftp reaches the share but no server.
const ALONE: &str = "
    { at = 25.0, fault = \"partition\", servers = [\"ftp\"] },
    { at = 25.0, fault = \"join\", server = \"ftp\", peer = \"share\" },";

#[test]
fn vips_that_outlive_their_grants_have_two_owners() {
    assert_eq!(broken(6, FROZEN, 60.0, Sabotage::Lifetimes), Rule::OneOwner);
}

#[test]
fn a_vm_that_is_not_released_is_a_second_owner() {
    let faults = format!("{OFF}{{ at = 60.0, fault = \"power-on\", server = \"ftp\" }},");
    assert_eq!(broken(6, &faults, 200.0, Sabotage::Release), Rule::OneOwner);
}

#[test]
fn vms_that_outlive_their_grants_are_two() {
    let faults = format!("{OFF}{{ at = 60.0, fault = \"freeze\", server = \"mail\" }},");
    assert_eq!(
        broken(6, &faults, 200.0, Sabotage::VmLifetimes),
        Rule::OneVm
    );
}

/// Two servers try one epoch only when much comes together: seeds find it.
#[test]
fn an_epoch_that_is_claimed_twice_is_seen() {
    assert_eq!(drawn(Sabotage::EpochsTwice), Rule::EpochsRise);
}

/// The rule that the first of some seeds breaks.
fn drawn(sabotage: Sabotage) -> Rule {
    let frame = Frame {
        servers: 6,
        topology: Topology::Ring,
        profile: Profile::Paper,
        hours: 0.5,
    };
    let mut played = (1..60).map(|seed| play_with(&draw(seed, &frame), false, Some(sabotage)));
    let broken = played.find_map(|outcome| outcome.unwrap().audit.violation);
    broken.unwrap().rule
}

#[test]
fn old_readings_keep_an_old_epoch() {
    assert_eq!(
        broken(6, ALONE, 100.0, Sabotage::OldReadings),
        Rule::OldEpoch
    );
}

#[test]
fn torn_states_are_used_when_no_seal_is_looked_at() {
    let faults = format!("{{ at = 20.0, fault = \"share-torn\" }},{OFF}");
    assert_eq!(broken(6, &faults, 100.0, Sabotage::Seals), Rule::TornFile);
}

#[test]
fn without_words_the_share_takes_functions_along() {
    for servers in [2, 3, 6] {
        let away = "{ at = 25.0, fault = \"share-away\" },";
        assert_eq!(
            broken(servers, away, 300.0, Sabotage::Words),
            Rule::ShareAway
        );
    }
}

#[test]
fn a_function_that_nobody_starts_is_missed() {
    let faults = format!("{{ at = 20.0, fault = \"wol-failure\", server = \"ftp\" }},{OFF}");
    assert_eq!(
        broken(6, &faults, 600.0, Sabotage::Activation),
        Rule::Served
    );
}

#[test]
fn a_server_that_may_not_go_home_is_missed() {
    let faults = format!("{OFF}{{ at = 100.0, fault = \"heal\" }},");
    assert_eq!(
        broken(6, &faults, 300.0, Sabotage::Homecoming),
        Rule::Healed
    );
}
