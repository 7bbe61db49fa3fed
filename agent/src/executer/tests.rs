use std::fs;
use std::path::Path;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::keys::{Validity, make};

const LONG: Duration = Duration::from_secs(20);

/// A server's directories, and a share with a signed release that is a shell script.
struct Server {
    directory: tempfile::TempDir,
    paths: Paths,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let paths = Paths {
            site: at("site"),
            state: at("state"),
            share: at("share"),
            run: at("run"),
        };
        for path in [&paths.site, &paths.state, &paths.share, &paths.run] {
            fs::create_dir(path).unwrap();
        }
        let keys = make([], Validity::default()).unwrap();
        fs::write(paths.release_key(), keys.release_public).unwrap();
        fs::write(at("release.key"), keys.release_key).unwrap();
        fs::write(paths.share.join("cluster.toml"), "profile = \"fast\"\n").unwrap();
        let server = Self { directory, paths };
        server.release("1", "cat > /dev/null; echo stopped >> $LOG");
        flag::set(&server.paths.flag()).unwrap();
        server
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Puts a release on the share that logs its start and then does `then`.
    fn release(&self, version: &str, then: &str) {
        let script = self.directory.path().join("script");
        let log = self.log_file();
        let log = log.display();
        let text = format!("#!/bin/sh\nLOG={log}\necho started {version} $1 $2 >> $LOG\n{then}\n");
        fs::write(&script, text).unwrap();
        let key = self.directory.path().join("release.key");
        let out = self.paths.share.join("release");
        crate::release::sign(&script, version, &key, &out).unwrap();
    }

    /// Runs an executer until the log has `lines` lines and `then` has been done.
    async fn until(&self, lines: usize, then: impl AsyncFnOnce()) {
        let patience = Patience {
            poll: Duration::from_millis(20),
            share: Duration::from_secs(1),
            start: Duration::from_millis(100),
            home: Duration::ZERO,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let executer = run(self.paths.clone(), patience, async {
            let _ = stopped.await;
        });
        let script = async {
            self.wait_for(lines).await;
            then().await;
            drop(stop);
        };
        timeout(LONG, async { tokio::join!(executer, script) })
            .await
            .unwrap();
    }

    async fn wait_for(&self, lines: usize) {
        while self.log().lines().count() < lines {
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

fn is_last_good(paths: &Paths, file: &str) -> bool {
    let read = |directory: &Path| fs::read(directory.join(file)).ok();
    read(&paths.last_good()) == read(&paths.share)
}

#[tokio::test]
async fn node_runs_while_the_flag_is_there() {
    let server = Server::new();
    let flag = server.paths.flag();
    let log = async || {
        flag::clear(&flag).unwrap();
        server.wait_for(2).await;
        flag::set(&flag).unwrap();
        server.wait_for(3).await;
    };
    server.until(1, log).await;
    let expected = "started 1 node --supervised\nstopped\n";
    assert_eq!(server.log(), expected.repeat(2));
    assert!(is_last_good(&server.paths, "cluster.toml"));
}

#[tokio::test]
async fn last_good_copy_serves_without_the_share_and_a_new_release_with_it() {
    let server = Server::new();
    server.until(1, async || {}).await;
    let away = server.directory.path().join("away");
    fs::rename(&server.paths.share, &away).unwrap();
    server.until(3, async || {}).await;
    fs::rename(&away, &server.paths.share).unwrap();
    server.release("2", "cat > /dev/null; echo stopped >> $LOG");
    server.until(5, async || {}).await;
    let log = server.log();
    let started: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("started"))
        .collect();
    assert_eq!(
        started,
        [
            "started 1 node --supervised",
            "started 1 node --supervised",
            "started 2 node --supervised"
        ]
    );
    // The old release is gone, the new one is the last good one.
    assert_eq!(fs::read_dir(server.paths.releases()).unwrap().count(), 2);
}

#[tokio::test]
async fn hung_share_delays_the_start_by_its_deadlines_only() {
    let server = Server::new();
    server.until(1, async || {}).await;
    // Opening it hangs like a file on a dead NFS server.
    let hung = server.paths.share.join("cluster.toml");
    fs::remove_file(&hung).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&hung)
        .status()
        .unwrap();
    assert!(made.success());
    let begun = Instant::now();
    server.until(3, async || {}).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let kept = fs::read_to_string(server.paths.last_good().join("cluster.toml")).unwrap();
    assert_eq!(kept, "profile = \"fast\"\n");
}

#[tokio::test]
async fn forged_release_is_not_run_and_bad_data_not_kept() {
    let server = Server::new();
    server.until(1, async || {}).await;
    let binary = server.paths.share.join("release/ringward");
    let forged = fs::read_to_string(&binary)
        .unwrap()
        .replace("started 1", "forged");
    fs::write(&binary, forged).unwrap();
    let signature = server.paths.share.join("release/ringward.sig");
    let text = fs::read_to_string(&signature)
        .unwrap()
        .replace("version 1", "version 9");
    fs::write(&signature, text).unwrap();
    fs::write(server.paths.share.join("cluster.toml"), "profile = 7\n").unwrap();
    server.until(3, async || {}).await;
    assert!(!server.log().contains("forged"), "{}", server.log());
    assert!(!is_last_good(&server.paths, "cluster.toml"));

    fs::remove_dir_all(server.paths.releases()).unwrap();
    let executer = Executer {
        paths: server.paths.clone(),
        patience: Patience::default(),
        share: Share::open(&server.paths.share, LONG),
        first: false,
    };
    let error = executer.release().await.unwrap_err();
    assert!(
        matches!(
            &error,
            ExecuterError::NoRelease {
                share: CopyError::Release(_),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn node_that_ends_by_itself_is_started_again() {
    let server = Server::new();
    server.release("1", "exit 3");
    server.until(2, async || {}).await;
    assert!(
        server
            .log()
            .starts_with("started 1 node --supervised\nstarted 1")
    );
}
