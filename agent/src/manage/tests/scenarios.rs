//! The paper's troubles on a ring of six, with the logs of both managers of the FTP server.
//!
//! Web1 manages it with P1, web2 with P2. Rounds begin at 10 s, 20 s ...; trouble at 25 s.

use super::world::{World, name};
use crate::cluster::Settings;
use crate::manage::{Event, Now};

fn ring() -> World {
    let mut world = World::new(6, Settings::default());
    world.run_until(25.0);
    world.assert_all_home();
    world
}

fn both_logs(world: &World) -> String {
    let (p1, p2) = (
        world.log_of("web1", 25.0, true),
        world.log_of("web2", 25.0, true),
    );
    format!(
        "web1 (P1)\n{p1}\nweb2 (P2)\n{p2}\nftp\n{}",
        world.log_of("ftp", 25.0, true)
    )
}

#[test]
fn a_healthy_ring_is_quiet() {
    let mut world = ring();
    world.run_until(100.0);
    world.assert_all_home();
    insta::assert_snapshot!(world.log_of("web1", 0.0, true));
}

/// P2 looks T_sw (3 s) before S: a slow target is never examined by both at once.
#[test]
fn p2_examines_after_p1() {
    let mut world = ring();
    world.run_until(45.0);
    let of_ftp = world
        .looks
        .iter()
        .filter(|(at, _, exam)| exam.target == name("ftp") && at.0.as_secs_f64() >= 25.0);
    let looks: Vec<String> = of_ftp
        .map(|(at, by, _)| format!("{:.0} {by}", at.0.as_secs_f64()))
        .collect();
    assert_eq!(looks, ["27 web2", "30 web1", "37 web2", "40 web1"]);
}

#[test]
fn nt2_the_target_is_shut_down() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(250.0);
    world.assert_all_home();
    insta::assert_snapshot!(both_logs(&world));
}

#[test]
fn a_function_that_fails_again_is_resumed_again() {
    let mut world = ring();
    for failure in 1..=2 {
        world.power_off(&name("ftp"));
        world.run_until(f64::from(failure) * 300.0);
        let recovered = world.events(|e| matches!(e, Event::FunctionRecovered { .. }));
        assert_eq!(recovered.len(), failure as usize);
        world.assert_all_home();
    }
    let failed = world.events(|e| matches!(e, Event::VmFailed { .. }));
    assert_eq!(failed, []);
}

#[test]
fn nt2_every_line_until_recovery() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(40.0);
    let (p1, p2) = (
        world.log_of("web1", 25.0, false),
        world.log_of("web2", 25.0, false),
    );
    insta::assert_snapshot!(format!("web1 (P1)\n{p1}\nweb2 (P2)\n{p2}"));
}

#[test]
fn nt1_the_target_is_restarted() {
    let mut world = ring();
    world.restart(&name("ftp"));
    world.run_until(150.0);
    world.assert_all_home();
    insta::assert_snapshot!(both_logs(&world));
}

#[test]
fn st1_a_restarted_service_is_well() {
    let mut world = ring();
    world.machines.get_mut(&name("ftp")).unwrap().service = false;
    world.run_until(60.0);
    world.assert_all_home();
    insta::assert_snapshot!(both_logs(&world));
}

#[test]
fn st2_only_a_reboot_helps() {
    let mut world = ring();
    let ftp = world.machines.get_mut(&name("ftp")).unwrap();
    ftp.service = false;
    ftp.curable = false;
    world.run_until(200.0);
    world.assert_all_home();
    insta::assert_snapshot!(both_logs(&world));
}

#[test]
fn a_target_that_cannot_be_woken_stays_on_its_vm() {
    let mut world = ring();
    world.machines.get_mut(&name("ftp")).unwrap().wakes = false;
    world.power_off(&name("ftp"));
    world.run_until(400.0);
    assert_eq!(
        world.events(|e| matches!(e, Event::DReceived { .. })).len(),
        1
    );
    assert_eq!(world.vms.len(), 1);
    // A human repairs it.
    world.power_on(&name("ftp"));
    world.run_until(500.0);
    world.assert_all_home();
}

/// When the function of each server was recovered first, in seconds after 25 s.
fn recovered(world: &World) -> String {
    let mut text = String::new();
    for (at, who, event) in &world.log {
        if let Event::FunctionRecovered { target, host, .. } = event {
            let after = at.since(Now::from_millis(25_000)).as_secs_f64();
            text.push_str(&format!("{target} after {after:.2} s by {who} on {host}\n"));
        }
    }
    text
}

#[test]
fn fig15_three_neighbours_are_lost_at_once() {
    let mut world = ring();
    for server in ["mail", "web1", "ftp"] {
        world.power_off(&name(server));
    }
    world.run_until(60.0);
    insta::assert_snapshot!(recovered(&world));
    assert_eq!(world.vms.len(), 3);
    world.run_until(500.0);
    world.assert_all_home();
}

#[test]
fn fig9d_the_host_of_a_backup_vm_is_lost() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(50.0);
    world.power_off(&name("mail"));
    world.run_until(90.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(500.0);
    world.assert_all_home();
}

#[test]
fn p2_takes_the_part_of_a_lost_p1() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(33.0);
    // P1 has claimed and goes down before the VM runs.
    world.power_off(&name("web1"));
    world.run_until(80.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(500.0);
    world.assert_all_home();
}

#[test]
fn five_of_six_are_lost() {
    let mut world = ring();
    for server in ["mail", "web1", "web2", "proxy", "login"] {
        world.power_off(&name(server));
    }
    world.run_until(120.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(700.0);
    world.assert_all_home();
}

#[test]
fn two_servers_guard_each_other() {
    let mut world = World::new(2, Settings::default());
    world.run_until(25.0);
    world.assert_all_home();
    world.power_off(&name("web1"));
    world.run_until(60.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(300.0);
    world.assert_all_home();
}

#[test]
fn a_star_recovers_what_its_head_manages() {
    let settings = Settings {
        topology: crate::cluster::Topology::Star,
        ..Settings::default()
    };
    let mut world = World::new(6, settings);
    world.run_until(25.0);
    world.assert_all_home();
    world.power_off(&name("ftp"));
    world.power_off(&name("login"));
    world.run_until(60.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(300.0);
    world.assert_all_home();
}

#[test]
fn the_share_away_takes_no_healthy_function() {
    for n in [2, 3, 6] {
        let mut world = World::new(n, Settings::default());
        world.run_until(25.0);
        world.share_up = false;
        world.run_until(300.0);
        assert_eq!(
            world.events(|e| matches!(e, Event::VipLetGo { .. })),
            [],
            "{n}"
        );
        world.share_up = true;
        world.run_until(400.0);
        world.assert_all_home();
    }
}

#[test]
fn a_late_node_throws_its_examinations_away() {
    let mut world = ring();
    world.run_until(30.005);
    world.feed_late("web1", 3000);
    world.run_until(60.0);
    assert_eq!(
        world.events(|e| matches!(e, Event::NetworkTrouble { .. })),
        []
    );
    world.assert_all_home();
}

/// What kept it waiting may not be over: a bad examination is believed T_sw (3 s) later.
#[test]
fn a_late_node_believes_no_bad_examination_at_first() {
    let mut world = ring();
    let serve = |world: &mut World, service: bool| {
        world.machines.get_mut(&name("ftp")).unwrap().service = service;
    };
    world.run_until(29.5);
    world.feed_late("web1", 2000);
    serve(&mut world, false);
    world.run_until(33.0);
    serve(&mut world, true);
    world.run_until(36.5);
    assert_eq!(world.log_of("web1", 29.6, true), "");
    serve(&mut world, false);
    world.run_until(39.5);
    world.feed_late("web1", 2000);
    world.run_until(47.0);
    let found = world.log_of("web1", 40.0, true);
    assert!(
        found.contains("46.03 ftp: service trouble detected: ftp"),
        "{found}"
    );
}

#[test]
fn an_agent_that_restarts_keeps_its_function() {
    let mut world = ring();
    world.crash_agent("ftp", true);
    world.run_until(60.0);
    assert_eq!(world.events(|e| matches!(e, Event::Claimed { .. })), []);
    world.assert_all_home();
}

#[test]
fn the_function_of_a_dead_agent_is_recovered() {
    let mut world = ring();
    world.crash_agent("ftp", false);
    world.run_until(80.0);
    insta::assert_snapshot!(world.log_of("web1", 25.0, true));
    world.restart(&name("ftp"));
    world.run_until(300.0);
    world.assert_all_home();
}

#[test]
fn a_host_that_forgot_its_vm_is_replaced() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(50.0);
    world.crash_agent("mail", true);
    world.run_until(90.0);
    insta::assert_snapshot!(recovered(&world));
    world.run_until(400.0);
    world.assert_all_home();
}

#[test]
fn a_golden_state_is_kept_where_it_will_be_used() {
    let mut world = World::new(6, Settings::default());
    world.run_until(5.0);
    world.tell_loads();
    world.run_until(190.0);
    insta::assert_snapshot!(placed_from(&world, 0.0));
    let ordered = world.events(|e| matches!(e, Event::StandbyPlaced { .. }));
    let apart = ordered.windows(2).map(|w| w[1].0.since(w[0].0).as_millis());
    let load_ms = u128::from(world.times.load_ms);
    assert!(
        apart.clone().all(|ms| ms >= load_ms),
        "one is loaded at a time: {:?}",
        apart.collect::<Vec<_>>()
    );
    let placed = placed_from(&world, 0.0);
    world.power_off(&name("ftp"));
    world.run_until(230.0);
    let used = world.events(|e| match e {
        Event::VmStart { target, host, .. } => {
            placed.contains(&format!("{target}: standby on {host}"))
        }
        _ => false,
    });
    assert_eq!(used.len(), 1);
    // What was lost with the server, and what was used, is loaded again when all is calm.
    world.run_until(600.0);
    world.assert_all_home();
    insta::assert_snapshot!(placed_from(&world, 190.0));
}

#[test]
fn a_host_that_cannot_load_a_state_is_passed_over() {
    let mut world = World::new(6, Settings::default());
    world.unable.insert(name("web2"));
    world.run_until(5.0);
    world.tell_loads();
    world.run_until(300.0);
    insta::assert_snapshot!(placed_from(&world, 0.0));
}

/// Who ordered which golden state to be loaded where, and when.
fn placed_from(world: &World, seconds: f64) -> String {
    let from = Now(std::time::Duration::from_secs_f64(seconds));
    let mut text = String::new();
    for (at, who, event) in world.log.iter().filter(|(at, _, _)| *at >= from) {
        if matches!(event, Event::StandbyPlaced { .. }) {
            text.push_str(&format!("{:>6.2} {who}: {event}\n", at.0.as_secs_f64()));
        }
    }
    text
}

#[test]
fn p1_restarts_while_it_owns_a_recovery() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(50.0);
    world.crash_agent("web1", true);
    world.run_until(100.0);
    insta::assert_snapshot!(recovered(&world));
    assert_eq!(world.vms.len(), 1);
    world.run_until(400.0);
    world.assert_all_home();
}

#[test]
fn nobody_acts_while_the_share_is_away() {
    let mut world = ring();
    world.share_up = false;
    world.power_off(&name("ftp"));
    world.run_until(100.0);
    assert_eq!(recovered(&world), "");
    world.share_up = true;
    world.run_until(120.0);
    assert_eq!(world.vms.len(), 1);
    world.run_until(500.0);
    world.assert_all_home();
}
