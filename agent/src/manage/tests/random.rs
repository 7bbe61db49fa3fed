//! Random faults: nothing panics, epochs only rise, a VIP never has two owners (the world
//! checks both at every step), and after healing all is home again.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::world::{NAMES, World, name};
use crate::cluster::Settings;

#[derive(Debug, Clone)]
enum Fault {
    PowerOff(usize),
    Restart(usize),
    Service {
        at: usize,
        curable: bool,
    },
    Cut(usize, usize),
    OneWay(usize, usize),
    /// These servers and the share on one side, the rest on the other.
    Partition(u8),
    Agent {
        at: usize,
        restart: bool,
    },
    Freeze(usize),
    Thaw,
    Late(usize),
    Share,
    Loss(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    let server = 0..NAMES.len();
    prop_oneof![
        3 => server.clone().prop_map(Fault::PowerOff),
        2 => server.clone().prop_map(Fault::Restart),
        2 => (server.clone(), any::<bool>()).prop_map(|(at, curable)| Fault::Service { at, curable }),
        2 => (server.clone(), server.clone()).prop_map(|(a, b)| Fault::Cut(a, b)),
        1 => (server.clone(), server.clone()).prop_map(|(a, b)| Fault::OneWay(a, b)),
        2 => any::<u8>().prop_map(Fault::Partition),
        2 => (server.clone(), any::<bool>()).prop_map(|(at, restart)| Fault::Agent { at, restart }),
        1 => server.clone().prop_map(Fault::Freeze),
        1 => Just(Fault::Thaw),
        1 => server.clone().prop_map(Fault::Late),
        1 => server.prop_map(|a| Fault::Cut(a, NAMES.len())),
        1 => Just(Fault::Share),
        1 => (1..200_u64).prop_map(Fault::Loss),
    ]
}

fn strike(world: &mut World, fault: &Fault) {
    let server = |at: usize| name(NAMES.get(at).copied().unwrap_or("share"));
    match *fault {
        Fault::PowerOff(at) => world.power_off(&server(at)),
        Fault::Restart(at) => world.restart(&server(at)),
        Fault::Service { at, curable } => {
            let machine = world.machines.get_mut(&server(at)).unwrap();
            machine.service = false;
            machine.curable = curable;
        }
        Fault::Cut(a, b) => world.cut_link(server(a).as_str(), server(b).as_str()),
        Fault::OneWay(a, b) => {
            world.cut.insert((server(a), server(b)));
        }
        Fault::Partition(side) => {
            let with_share = |at: usize| at == NAMES.len() || side & (1 << at) != 0;
            for a in 0..=NAMES.len() {
                for b in (a + 1)..=NAMES.len() {
                    if with_share(a) != with_share(b) {
                        world.cut_link(server(a).as_str(), server(b).as_str());
                    }
                }
            }
        }
        Fault::Agent { at, restart } => world.crash_agent(server(at).as_str(), restart),
        Fault::Freeze(at) => world.freeze(&server(at)),
        Fault::Thaw => world.thaw(),
        Fault::Late(at) => world.feed_late(server(at).as_str(), 2000),
        Fault::Share => world.share_up = false,
        Fault::Loss(per_mille) => world.loss = per_mille,
    }
}

fn heal(world: &mut World) {
    world.thaw();
    world.cut.clear();
    world.share_up = true;
    world.loss = 0;
    for server in NAMES.map(name) {
        world.machines.get_mut(&server).unwrap().curable = true;
        world.power_on(&server);
        world.revive_agent(&server);
    }
}

/// The same cases at each run; `RINGWARD_SEED` draws others.
fn seed() -> u64 {
    let set = std::env::var("RINGWARD_SEED").ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// `RINGWARD_CASES` runs more of them.
fn cases() -> u32 {
    std::env::var("RINGWARD_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed()),
        max_shrink_iters: 24,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_faults_never_make_two_owners(
        seed in any::<u64>(),
        faults in prop::collection::vec((fault(), 0.0..60.0_f64), 1..8),
    ) {
        let mut world = World::new(6, Settings::default());
        world.seed(seed);
        world.run_until(25.0);
        let mut at = 25.0;
        for (fault, pause) in &faults {
            strike(&mut world, fault);
            at += pause;
            world.run_until(at);
        }
        heal(&mut world);
        world.run_until(at + 600.0);
        world.assert_all_home();
    }
}

/// What random faults once found.
#[test]
fn a_cut_link_then_two_neighbours_lost() {
    let mut world = World::new(6, Settings::default());
    world.run_until(25.0);
    world.cut_link("web1", "ftp");
    world.run_until(62.3);
    world.power_off(&name("web2"));
    world.run_until(89.2);
    world.power_off(&name("ftp"));
    heal(&mut world);
    world.run_until(600.0);
    world.assert_all_home();
}
