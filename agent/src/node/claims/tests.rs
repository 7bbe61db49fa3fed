use super::*;
use crate::cluster::{Group, Operation};
use crate::manage::claim::Phase;

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn share() -> (tempfile::TempDir, Share) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("claims")).unwrap();
    let share = Share::open(directory.path(), Duration::from_secs(10));
    (directory, share)
}

fn claim(function: &str, epoch: u64, owner: &str, purpose: Purpose) -> Claim {
    Claim {
        function: name(function),
        epoch: Epoch(epoch),
        owner: name(owner),
        purpose,
    }
}

#[tokio::test]
async fn one_claimant_wins_and_may_ask_again() {
    let (_directory, share) = share();
    let (mail, web) = (Shared::default(), Shared::default());
    let first = claim("ftp", 1, "mail", Purpose::Recover);
    for _ in 0..2 {
        let result = try_claim(&share, &mail, &first).await.unwrap();
        assert_eq!(result, ClaimResult::Won);
    }
    let second = claim("ftp", 1, "web", Purpose::Recover);
    let result = try_claim(&share, &web, &second).await.unwrap();
    let record = Record {
        claim: first,
        state: State::default(),
    };
    assert_eq!(result, ClaimResult::Lost(Box::new(record)));
    let home = claim("ftp", 2, "mail", Purpose::Home);
    assert_eq!(
        try_claim(&share, &mail, &home).await.unwrap(),
        ClaimResult::Won
    );
    // An epoch that is history cannot be had any more.
    let late = claim("ftp", 1, "web", Purpose::Recover);
    let Ok(ClaimResult::Lost(record)) = try_claim(&share, &web, &late).await else {
        panic!("an old epoch was claimed");
    };
    assert_eq!(record.claim, home);
}

#[tokio::test]
async fn who_is_claimed_claims_nobody() {
    let (_directory, share) = share();
    let (mail, ftp) = (Shared::default(), Shared::default());
    let on_ftp = claim("ftp", 1, "mail", Purpose::Recover);
    try_claim(&share, &mail, &on_ftp).await.unwrap();
    let record = Record {
        claim: on_ftp,
        state: State::default(),
    };
    for (function, purpose) in [("mail", Purpose::Recover), ("web", Purpose::Home)] {
        let by_ftp = claim(function, 1, "ftp", purpose);
        let result = try_claim(&share, &ftp, &by_ftp).await.unwrap();
        assert_eq!(result, ClaimResult::Lost(Box::new(record.clone())));
    }
    // Two that claimed each other are not stuck.
    let back = claim("mail", 1, "ftp", Purpose::Home);
    let result = try_claim(&share, &ftp, &back).await.unwrap();
    assert_eq!(result, ClaimResult::Won);
}

#[tokio::test]
async fn a_state_reads_back_also_after_a_restart() {
    let (_directory, share) = share();
    let before = Shared::default();
    let claim = claim("ftp", 1, "mail", Purpose::Recover);
    try_claim(&share, &before, &claim).await.unwrap();
    let me = name("mail");
    for (revision, phase) in [(1, Phase::Starting), (2, Phase::Serving)] {
        let state = State {
            revision,
            phase,
            host: Some(name("web")),
        };
        let record = Record {
            claim: claim.clone(),
            state,
        };
        let after = Shared::default();
        // What a restarted node reads first tells it its own claims.
        newest(&share, &after, &claim.function, &me).await.unwrap();
        write_state(&share, &after, &record).await.unwrap();
        let read = newest(&share, &after, &claim.function, &me).await.unwrap();
        assert_eq!(read, Some(record));
    }
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_is_not_missing() {
    let (directory, share) = share();
    let (mail, ftp) = (Shared::default(), Shared::default());
    let first = claim("ftp", 1, "mail", Purpose::Recover);
    try_claim(&share, &mail, &first).await.unwrap();
    let path = directory.path().join("claims/ftp/2.claim");
    std::fs::write(&path, "{").unwrap();
    let me = name("ftp");
    let read = newest(&share, &ftp, &me, &me).await;
    assert!(matches!(read, Err(ShareError::Io { .. })), "{read:?}");
    // Nor can its epoch be had, and whoever may be claimed by it claims nothing.
    let again = claim("ftp", 2, "mail", Purpose::Recover);
    try_claim(&share, &mail, &again).await.unwrap_err();
    let by_ftp = claim("web", 1, "ftp", Purpose::Recover);
    try_claim(&share, &ftp, &by_ftp).await.unwrap_err();

    let mut other = share::Claim::new(&me, Epoch(2), &name("mail")).unwrap();
    other.purpose = "lend".to_owned();
    let json = serde_json::to_string(&other).unwrap();
    std::fs::write(&path, share::seal(&json)).unwrap();
    let error = newest(&share, &ftp, &me, &me).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"claim of ftp epoch 2: its purpose is "lend", which this release does not know; is another server's newer?"#);
}

#[tokio::test]
async fn views_are_written_whole() {
    let (directory, share) = share();
    let views = Views {
        group: Group::parse("g", "1 mail mail.dat\n").unwrap(),
        separation: Group::parse("s", "2 ftp ftp.dat\n").unwrap(),
        operation: Operation::default(),
        ..Views::default()
    };
    write_views(&share, &views).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(read("group").starts_with("1 mail mail.dat\n# ringward"));
    assert!(read("separation").starts_with("2 ftp ftp.dat\n# ringward"));
    assert!(read("trouble").starts_with("# ringward"));
}

fn show(shared: &Shared, groups: &[&str]) {
    for group in groups {
        let group = Group::parse("g", group).unwrap();
        let views = Views {
            group,
            ..Views::default()
        };
        shared.wait(|waiting| waiting.change(views));
    }
}

#[tokio::test]
async fn views_wait_for_those_that_follow_and_only_the_last_are_written() {
    let (directory, share) = share();
    let shared = Arc::new(Shared::default());
    let pause = Duration::from_millis(300);
    let began = std::time::Instant::now();
    let writer = tokio::spawn(write(share, Arc::clone(&shared), pause));
    show(&shared, &["1 web1 web1.dat\n", "1 ftp ftp.dat\n"]);
    let group = loop {
        match std::fs::read_to_string(directory.path().join("group")) {
            Ok(group) => break group,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(group.starts_with("1 ftp"), "{group}");
    assert!(began.elapsed() >= pause);
    writer.abort();
}

#[tokio::test]
async fn views_that_wait_are_written_at_the_end() {
    let (directory, share) = share();
    let shared = Arc::new(Shared::default());
    let never = Duration::from_secs(3600);
    let writer = tokio::spawn(write(share, Arc::clone(&shared), never));
    show(&shared, &["1 ftp ftp.dat\n"]);
    shared.wait(|waiting| waiting.ends = true);
    writer.await.unwrap();
    let group = std::fs::read_to_string(directory.path().join("group")).unwrap();
    assert!(group.starts_with("1 ftp"), "{group}");
}
