//! What needs privileges over a network: virtual addresses, ARP, ping, wake-on-LAN.
//!
//! Not part of `cargo test`. It wants a network namespace of its own and is run as
//!
//! ```sh
//! unshare --user --map-root-user --net cargo test -p ringward --test netns -- --test-threads 1
//! ```
//!
//! which needs no root. Elsewhere it fails before it touches anything.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ringward::cluster::Mac;
use ringward::host::lan::{Lan, LanError};
use ringward::host::power;
use ringward::probe::{ProbeError, ping};
use tokio::time::{Instant, sleep, timeout};

const OWN: Ipv4Addr = Ipv4Addr::new(172, 21, 14, 1);
const VIP: Ipv4Addr = Ipv4Addr::new(172, 21, 14, 201);
const OTHER: Mac = Mac([0, 0, 0, 0, 0, 2]);

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}: {status}");
}

fn said_by_ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Two ends of a cable in this namespace: `br0` is ours, `peer` has no address.
struct Cable;

impl Cable {
    fn lay() -> Self {
        // Not /sys, which shows the namespace that mounted it.
        let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
        let names = devices
            .lines()
            .skip(2)
            .filter_map(|line| line.split(':').next());
        let links: Vec<_> = names.map(str::trim).collect();
        assert_eq!(
            links,
            ["lo"],
            "not in an empty network namespace; see the head of this file"
        );
        ip("link set lo up");
        ip("link add br0 type veth peer name peer");
        ip("link set br0 address 00:00:00:00:00:01");
        ip("link set peer address 00:00:00:00:00:02");
        ip(&format!("address add {OWN}/24 dev br0"));
        ip("link set br0 up");
        ip("link set peer up");
        Self
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip("link del br0");
    }
}

#[tokio::test]
async fn a_virtual_address_lives_as_long_as_it_is_renewed() {
    let _cable = Cable::lay();
    let lan = Lan::open("br0").unwrap();
    assert_eq!(lan.address().await.unwrap(), (OWN, 24));
    assert!(!lan.has_vip(VIP).await.unwrap());

    lan.add_vip(VIP, Duration::from_secs(2)).await.unwrap();
    assert!(lan.has_vip(VIP).await.unwrap());
    assert_eq!(
        lan.address().await.unwrap(),
        (OWN, 24),
        "the real address stays first"
    );
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        lan.renew_vip(VIP, Duration::from_secs(2)).await.unwrap();
    }
    assert!(lan.has_vip(VIP).await.unwrap());

    sleep(Duration::from_millis(3200)).await;
    assert!(
        !lan.has_vip(VIP).await.unwrap(),
        "the kernel did not take it away"
    );
    let lapsed = lan.renew_vip(VIP, Duration::from_secs(2)).await;
    assert!(matches!(lapsed, Err(LanError::Lapsed { .. })), "{lapsed:?}");
    assert!(!lan.has_vip(VIP).await.unwrap(), "a renewal must not add");

    lan.add_vip(VIP, Duration::from_secs(60)).await.unwrap();
    lan.remove_vip(VIP).await.unwrap();
    assert!(!lan.has_vip(VIP).await.unwrap());
    lan.remove_vip(VIP).await.unwrap();
}

#[tokio::test]
async fn announcements_and_duplicates() {
    let _cable = Cable::lay();
    let lan = Lan::open("br0").unwrap();
    let peer = Lan::open("peer").unwrap();

    let started = Instant::now();
    assert_eq!(lan.duplicate(VIP, &[]).await.unwrap(), None);
    let took = started.elapsed();
    assert!((90..400).contains(&took.as_millis()), "{took:?}");

    // The far end hears whom the address belongs to, ours or a VM's behind the bridge; our own kernel, which
    // hears nothing of it, knows the VM too.
    let vm = Mac([0, 0, 0, 0, 1, 1]);
    ip(&format!(
        "neighbour replace {VIP} lladdr {OTHER} dev br0 nud reachable"
    ));
    for (owner, heard) in [(None, lan.mac().await.unwrap()), (Some(vm), vm)] {
        let listener = peer.clone();
        let hears = tokio::spawn(async move { listener.conflict(VIP, &[]).await });
        sleep(Duration::from_millis(50)).await;
        lan.announce(VIP, owner).await.unwrap();
        let hears = timeout(Duration::from_secs(5), hears)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(hears.unwrap(), heard);
    }
    let known = said_by_ip(&format!("neighbour show {VIP} dev br0"));
    assert!(known.contains(&format!("lladdr {vm} STALE")), "{known}");

    // Somebody else claims it while we look; those we call our own do not count.
    for (own, found) in [(&[][..], Some(OTHER)), (&[OTHER][..], None)] {
        let claims = async {
            sleep(Duration::from_millis(30)).await;
            peer.announce(VIP, None).await.unwrap();
        };
        let (duplicate, ()) = tokio::join!(lan.duplicate(VIP, own), claims);
        assert_eq!(duplicate.unwrap(), found);
    }
}

#[tokio::test]
async fn ping_answers_or_costs_its_deadline() {
    let _cable = Cable::lay();
    let within = Duration::from_millis(400);
    let took = ping(OWN, within).await.unwrap();
    assert!(took < within, "{took:?}");

    let started = Instant::now();
    let error = ping(Ipv4Addr::new(172, 21, 14, 99), within)
        .await
        .unwrap_err();
    assert!(!error.is_examiners_own(), "{error}");
    assert!((390..1500).contains(&started.elapsed().as_millis()));

    let error = ping(Ipv4Addr::new(192, 0, 2, 1), within).await.unwrap_err();
    assert!(
        matches!(error, ProbeError::Examiner { .. }),
        "no route is our own trouble: {error}"
    );
}

#[tokio::test]
async fn a_magic_packet_goes_to_the_lans_broadcast_address() {
    let _cable = Cable::lay();
    let lan = Lan::open("br0").unwrap();
    // Our own broadcasts come back to us.
    let socket = UdpSocket::bind((Ipv4Addr::new(172, 21, 14, 255), 9)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    power::wake(&lan, OTHER).await.unwrap();
    let mut packet = [0; 200];
    let (length, from) = socket.recv_from(&mut packet).unwrap();
    assert_eq!(from.ip(), OWN);
    assert_eq!(length, 102);
    assert_eq!(packet[..6], [0xff; 6]);
    assert!(packet[6..102].chunks(6).all(|chunk| chunk == OTHER.0));
}
