use std::process::Command;
use std::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(10);

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn share() -> (tempfile::TempDir, Share) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("claims")).unwrap();
    std::fs::create_dir(directory.path().join("log")).unwrap();
    let share = Share::open(directory.path(), LONG);
    (directory, share)
}

/// A file whose `open` hangs like a file on a dead NFS server, until somebody writes to it.
fn hang(share: &Share, name: &str) {
    let made = Command::new("mkfifo")
        .arg(share.root().join(name))
        .status()
        .unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn replaced_files_read_back_and_leave_no_temporary() {
    let (directory, share) = share();
    share.replace("group", "1 mail mail.dat\n").await.unwrap();
    share.replace("group", "1 web1 web1.dat\n").await.unwrap();
    let read = share.read_checked("group").await.unwrap();
    assert_eq!(
        read,
        Checked {
            text: "1 web1 web1.dat\n".into(),
            freshness: Freshness::Current
        }
    );
    assert_eq!(share.list(".").await.unwrap(), ["claims", "group", "log"]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn what_is_there_already_is_not_written_unless_it_is_torn() {
    use std::os::unix::fs::MetadataExt;

    let (directory, share) = share();
    let path = directory.path().join("group");
    let inode = || std::fs::metadata(&path).unwrap().ino();
    let text = "1 mail mail.dat\n";
    share.replace("group", text).await.unwrap();
    let written = inode();
    share.replace("group", text).await.unwrap();
    assert_eq!(inode(), written);
    std::fs::write(&path, "1 mail ma").unwrap();
    share.replace("group", text).await.unwrap();
    assert_eq!(share.read_checked("group").await.unwrap().text, text);
}

#[tokio::test]
async fn torn_file_keeps_the_previous_text() {
    let (directory, share) = share();
    let path = directory.path().join("group");
    std::fs::write(&path, "1 mail ma").unwrap();
    let error = share.read_checked("group").await.unwrap_err();
    assert!(matches!(error, ShareError::Damaged { .. }), "{error}");

    share.replace("group", "1 mail mail.dat\n").await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let read = share.read_checked("group").await.unwrap();
    assert_eq!(read.text, "1 mail mail.dat\n");
    assert_eq!(read.freshness, Freshness::Previous(Damage::NoTrailer));
}

#[tokio::test]
async fn names_cannot_leave_the_share() {
    let (_directory, share) = share();
    for name in ["", "/etc/passwd", "../group", "log/../../x", "."] {
        let error = share.read(name).await.unwrap_err();
        assert!(matches!(error, ShareError::BadName(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn missing_share_is_said_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let share = Share::open(directory.path().join("share"), LONG);
    let claim = Claim::new(&name("ftp"), Epoch(1), &name("web1")).unwrap();
    assert!(share.claim(&claim).await.unwrap_err().is_not_found());
    let error = share.newest_claim(&name("ftp")).await.unwrap_err();
    assert!(error.is_not_found());
    let error = share.replace("group", "").await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("(is the share mounted here, and complete?)"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn of_many_concurrent_claims_exactly_one_wins() {
    let (directory, _share) = share();
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let root = directory.path().to_owned();
            std::thread::spawn(move || {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                let runtime = builder.enable_all().build().unwrap();
                let share = Share::open(root, LONG);
                let mut won = Vec::new();
                for epoch in 1..=20 {
                    let claim =
                        Claim::new(&name("ftp"), Epoch(epoch), &name(&format!("s{n}"))).unwrap();
                    match runtime.block_on(share.claim(&claim)).unwrap() {
                        ClaimOutcome::Claimed => won.push(epoch),
                        ClaimOutcome::HeldBy(other) => assert_eq!(other.epoch, Epoch(epoch)),
                    }
                }
                won
            })
        })
        .collect();
    let mut won: Vec<u64> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    won.sort_unstable();
    assert_eq!(won, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn claim_again_is_still_ours_and_states_belong_to_the_holder() {
    let (_directory, share) = share();
    assert_eq!(share.newest_claim(&name("ftp")).await.unwrap(), None);
    let ours = Claim::new(&name("ftp"), Epoch(7), &name("web1")).unwrap();
    let theirs = Claim::new(&name("ftp"), Epoch(7), &name("web1")).unwrap();
    assert_eq!(share.claim(&ours).await.unwrap(), ClaimOutcome::Claimed);
    assert_eq!(
        share.claim(&theirs).await.unwrap(),
        ClaimOutcome::HeldBy(ours.clone())
    );
    assert_eq!(share.claim(&ours).await.unwrap(), ClaimOutcome::Claimed);

    share
        .replace_state(&ours, "activated on web2\n")
        .await
        .unwrap();
    let error = share.replace_state(&theirs, "x").await.unwrap_err();
    assert!(matches!(error, ShareError::NotHolder { .. }), "{error}");

    let state = Some("activated on web2\n".to_owned());
    let seen = ClaimSeen { claim: ours, state };
    assert_eq!(share.newest_claim(&name("ftp")).await.unwrap(), Some(seen));
}

#[tokio::test]
async fn room_for_claims_is_made_once_and_only_on_a_share_that_is_there() {
    let (directory, share) = share();
    for _ in 0..2 {
        share.make_room_for_claims(&name("ftp")).await.unwrap();
        assert_eq!(share.newest_claim(&name("ftp")).await.unwrap(), None);
    }
    std::fs::remove_dir_all(directory.path().join("claims")).unwrap();
    let error = share.make_room_for_claims(&name("ftp")).await.unwrap_err();
    assert!(matches!(error, ShareError::Io { .. }), "{error}");
    assert!(!directory.path().join("claims").exists());
}

#[tokio::test]
async fn a_newest_claim_that_cannot_be_read_is_not_missing() {
    let (directory, share) = share();
    let first = Claim::new(&name("ftp"), Epoch(9), &name("web1")).unwrap();
    share.claim(&first).await.unwrap();
    let path = directory.path().join("claims/ftp/10.claim");
    let root = directory.path().display().to_string();
    std::fs::write(&path, "{").unwrap();
    let error = share.newest_claim(&name("ftp")).await.unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&root, "/share"), @"look for the newest claim in /share/claims/ftp: 10.claim: the claim is damaged: the last line is not a trailer `# ringward len=.. crc32=..`: cut short, or written by hand (somebody may act under it: move it away only while all agents are stopped)");
    std::fs::copy(path.with_file_name("9.claim"), &path).unwrap();
    let error = share.newest_claim(&name("ftp")).await.unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&root, "/share"), @"look for the newest claim in /share/claims/ftp: 10.claim: the claim is damaged: it is of ftp epoch 9 (somebody may act under it: move it away only while all agents are stopped)");
}

#[tokio::test]
async fn hung_share_costs_a_deadline_and_never_more_than_the_workers() {
    let (_directory, share) = share();
    hang(&share, "hung");
    share.replace("group", "1 mail mail.dat\n").await.unwrap();
    let quick = share.within(SHORT);
    for n in 0..WORKERS + 3 {
        let begun = Instant::now();
        let error = quick.read("hung").await.unwrap_err();
        assert!(matches!(error, ShareError::Deadline { .. }), "{n}: {error}");
        assert!(begun.elapsed() < SHORT * 10, "{n}: {:?}", begun.elapsed());
    }
    // All workers are stuck now: the whole share hangs, and still the caller is not held.
    let error = quick.read("group").await.unwrap_err();
    assert_eq!(
        error
            .to_string()
            .replace(&share.root().display().to_string(), "/share"),
        "read /share/group: no answer from the file server within 150 ms; \
         is it up, and is the share mounted?"
    );
    // The server is back: opening the other end lets every reader go.
    let path = share.root().join("hung");
    std::thread::spawn(move || std::fs::OpenOptions::new().write(true).open(path).unwrap());
    assert_eq!(
        share.read_checked("group").await.unwrap().text,
        "1 mail mail.dat\n"
    );
}

#[tokio::test]
async fn a_second_write_waits_for_a_stuck_first_one() {
    let (_directory, share) = share();
    let path = share.root().join("group");
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let stuck = share
        .inner
        .pool
        .run_write("replace", path.clone(), SHORT, move |ticket, _| {
            let _ = blocked.recv();
            ticket.wanted()
        });
    assert!(matches!(stuck.await, Err(ShareError::Deadline { .. })));
    let error = share.replace("group", "newer").await.unwrap_err();
    assert!(matches!(error, ShareError::Busy { .. }), "{error}");
    free.send(()).unwrap();
    while share.replace("group", "newer\n").await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(share.read_checked("group").await.unwrap().text, "newer\n");
}

#[tokio::test]
async fn journal_keeps_lines_over_a_missing_directory() {
    let (directory, share) = share();
    std::fs::remove_dir(directory.path().join("log")).unwrap();
    let journal = share.journal("log/mail.log").unwrap();
    journal.append("12:53:52.13 one");
    assert!(!journal.flush(Duration::from_millis(300)));
    std::fs::create_dir(directory.path().join("log")).unwrap();
    journal.append("12:53:53.13 two");
    assert!(journal.flush(LONG));
    let text = std::fs::read_to_string(directory.path().join("log/mail.log")).unwrap();
    assert_eq!(text, "12:53:52.13 one\n12:53:53.13 two\n");
}

#[tokio::test]
async fn journal_drops_beyond_its_bound_and_says_so() {
    let (_directory, share) = share();
    let journal = share.journal("missing/mail.log").unwrap();
    let line = "x".repeat(1023);
    for _ in 0..JOURNAL_LIMIT_BYTES / 1024 + 10 {
        journal.append(&line);
    }
    std::fs::create_dir(share.root().join("missing")).unwrap();
    assert!(journal.flush(LONG));
    journal.append("after");
    assert!(journal.flush(LONG));
    let text = std::fs::read_to_string(share.root().join("missing/mail.log")).unwrap();
    assert!(text.len() <= JOURNAL_LIMIT_BYTES + 100);
    assert!(
        text.contains("lines dropped: the share did not answer)\nafter\n"),
        "{}",
        text.len()
    );
}
