//! The paper's troubles on a ring of six, with the logs of both managers of the FTP server.
//!
//! Web1 manages it with P1, web2 with P2. Rounds begin at 10 s, 20 s ...; trouble at 25 s.

use super::world::{World, name};
use crate::cluster::Settings;
use crate::manage::Event;

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

#[test]
fn nt2_the_target_is_shut_down() {
    let mut world = ring();
    world.power_off(&name("ftp"));
    world.run_until(250.0);
    world.assert_all_home();
    insta::assert_snapshot!(both_logs(&world));
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
