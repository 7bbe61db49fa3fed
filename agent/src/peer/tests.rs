use std::fs;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::*;
use crate::keys::{ClusterKeys, Validity, make};

const SOON: Duration = Duration::from_secs(20);

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn keys() -> ClusterKeys {
    make(&["mail", "web1", "ftp"].map(name), Validity::default()).unwrap()
}

/// Writes the medium of `server` to a directory.
fn medium(keys: &ClusterKeys, server: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in keys.medium(&name(server)).unwrap() {
        fs::write(directory.path().join(file), text).unwrap();
    }
    directory
}

fn identity(keys: &ClusterKeys, server: &str) -> Identity {
    Identity::load(medium(keys, server).path(), &name(server)).unwrap()
}

fn settings(peers: &[(&str, SocketAddr)]) -> PeerSettings {
    PeerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        peers: peers
            .iter()
            .map(|&(n, address)| (name(n), address))
            .collect(),
        fresh: Duration::from_secs(2),
        queue: 8,
    }
}

/// An address on which nothing listens.
fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn receive(from: &mut mpsc::Receiver<(ServerName, String)>) -> (ServerName, String) {
    timeout(SOON, from.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn messages_arrive_with_who_sent_them_and_survive_a_restart() {
    let keys = keys();
    let mail_at = nowhere();
    let mut mail = settings(&[("web1", nowhere())]);
    mail.listen = mail_at;
    let (first, mut received) =
        Peers::<String>::start(&identity(&keys, "mail"), mail.clone()).unwrap();
    let (web1, _) =
        Peers::<String>::start(&identity(&keys, "web1"), settings(&[("mail", mail_at)])).unwrap();
    web1.send(&name("mail"), "U".to_owned()).unwrap();
    assert_eq!(receive(&mut received).await, (name("web1"), "U".to_owned()));
    assert!(web1.link(&name("mail")).unwrap().is_up());
    assert!(first.heard(&name("web1")).is_some());
    assert!(!first.link(&name("web1")).unwrap().is_up());
    assert_eq!(
        web1.send(&name("ftp"), String::new()),
        Err(UnknownPeer(name("ftp")))
    );

    drop((first, received));
    while web1.link(&name("mail")).unwrap().is_up() {
        sleep(Duration::from_millis(10)).await;
    }
    let (_second, mut received) = Peers::<String>::start(&identity(&keys, "mail"), mail).unwrap();
    while !web1.link(&name("mail")).unwrap().is_up() {
        sleep(Duration::from_millis(10)).await;
    }
    web1.send(&name("mail"), "D".to_owned()).unwrap();
    assert_eq!(receive(&mut received).await, (name("web1"), "D".to_owned()));
}

#[tokio::test]
async fn strangers_do_not_get_in() {
    let keys = keys();
    let (mail, mut received) =
        Peers::<String>::start(&identity(&keys, "mail"), settings(&[("web1", nowhere())])).unwrap();
    let to_mail = settings(&[("mail", mail.address())]);
    // Of this cluster, but not of mail's group.
    let (ftp, _) = Peers::<String>::start(&identity(&keys, "ftp"), to_mail.clone()).unwrap();
    ftp.send(&name("mail"), "ftp".to_owned()).unwrap();
    // The right name, but of another cluster.
    let (other, _) =
        Peers::<String>::start(&identity(&self::keys(), "web1"), to_mail.clone()).unwrap();
    other.send(&name("mail"), "other".to_owned()).unwrap();
    // Calls mail, reaches mail, but wanted ftp.
    let (wrong, _) = Peers::<String>::start(
        &identity(&keys, "web1"),
        settings(&[("ftp", mail.address())]),
    )
    .unwrap();
    wrong.send(&name("ftp"), "wrong".to_owned()).unwrap();
    // No TLS at all.
    let mut plain = TcpStream::connect(mail.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(received.try_recv().is_err());
    assert!(!other.link(&name("mail")).unwrap().is_up());
    let Some(Link::Down { why, .. }) = wrong.link(&name("ftp")) else {
        panic!("up")
    };
    assert!(
        why.contains("certificate not valid for name \"ftp\""),
        "{why}"
    );

    let (web1, _) = Peers::<String>::start(&identity(&keys, "web1"), to_mail).unwrap();
    web1.send(&name("mail"), "web1".to_owned()).unwrap();
    assert_eq!(
        receive(&mut received).await,
        (name("web1"), "web1".to_owned())
    );
}

#[tokio::test]
async fn what_could_not_be_sent_in_time_is_not_sent_later() {
    let keys = keys();
    let mail_at = nowhere();
    let mut quick = settings(&[("mail", mail_at)]);
    quick.fresh = Duration::from_millis(300);
    let (web1, _) = Peers::<String>::start(&identity(&keys, "web1"), quick).unwrap();
    web1.send(&name("mail"), "old".to_owned()).unwrap();
    sleep(Duration::from_millis(400)).await;
    let mut mail = settings(&[("web1", nowhere())]);
    mail.listen = mail_at;
    let (_mail, mut received) = Peers::<String>::start(&identity(&keys, "mail"), mail).unwrap();
    while !web1.link(&name("mail")).unwrap().is_up() {
        sleep(Duration::from_millis(10)).await;
    }
    web1.send(&name("mail"), "new".to_owned()).unwrap();
    assert_eq!(receive(&mut received).await.1, "new");
}

fn refused(directory: &Path, server: &str) -> String {
    let error = Identity::load(directory, &name(server))
        .unwrap_err()
        .to_string();
    error.replace(&directory.display().to_string(), "/etc/ringward")
}

#[test]
fn each_thing_that_does_not_fit_is_named() {
    let (keys, other) = (keys(), keys());
    let replace = |file: &str, text: &str| {
        let directory = medium(&keys, "ftp");
        fs::write(directory.path().join(file), text).unwrap();
        directory
    };
    let missing = medium(&keys, "ftp");
    fs::remove_file(missing.path().join("node.key")).unwrap();
    insta::assert_snapshot!(refused(missing.path(), "ftp"), @"read /etc/ringward/node.key: No such file or directory (os error 2); it comes with the site medium (volume RINGWARD) that `ringward keys make` wrote for this server");
    let garbage = refused(replace("ca.pem", "x").path(), "ftp");
    insta::assert_snapshot!(garbage, @"/etc/ringward/ca.pem: expected a certificate in PEM form, found none");
    let other_server = refused(medium(&keys, "mail").path(), "ftp");
    insta::assert_snapshot!(other_server, @r#"/etc/ringward/node.pem is for "mail", but node.toml says this server is "ftp"; use the medium made for "ftp""#);
    let other_key = &keys.nodes[&name("mail")].key;
    let other_key = refused(replace("node.key", other_key).path(), "ftp");
    insta::assert_snapshot!(other_key, @"/etc/ringward/node.key does not belong to /etc/ringward/node.pem; copy both from the same directory of `ringward keys make`");
    let other_ca = refused(replace("ca.pem", &other.ca_certificate).path(), "ftp");
    insta::assert_snapshot!(other_ca, @"/etc/ringward/node.pem is not signed by /etc/ringward/ca.pem; both must come from one run of `ringward keys make`");
}

#[test]
fn expired_certificates_are_named() {
    let past = Validity {
        from: (2001, 1, 1),
        until: (2002, 1, 1),
    };
    let keys = make(&[name("ftp")], past).unwrap();
    let error = refused(medium(&keys, "ftp").path(), "ftp");
    assert!(
        error.starts_with("/etc/ringward/node.pem has expired by this server's clock ("),
        "{error}"
    );
    let future = Validity {
        from: (2090, 1, 1),
        until: (2099, 1, 1),
    };
    let keys = make(&[name("ftp")], future).unwrap();
    let error = refused(medium(&keys, "ftp").path(), "ftp");
    assert!(error.contains("node.pem is not valid yet"), "{error}");
}
