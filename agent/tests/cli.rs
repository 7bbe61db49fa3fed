//! The command line as an operator meets it: every help text, and every kind of bad input.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const MAIL: &str = "172.21.14.201\nmail\n172.21.14.1\n00:00:00:00:00:01\npostfix dovecot\nNETWORK\nmailb\n172.21.14.101\n";
const GROUP: &str = "1 mail mail.dat\n2 web1 web1.dat\n3 ftp ftp.dat\n";

/// A directory to run in; its path never shows in what is printed.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs `ringward` with the words of `line`; returns all it says, and how it ended.
    fn run(&self, line: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_ringward"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_remove("RINGWARD_LOG")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        // Warnings go to the journal on a machine that has one.
        let text: String = String::from_utf8(text)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with(" WARN "))
            .fold(String::new(), |text, line| text + line + "\n");
        let text = text.replace(&self.path().display().to_string(), "PLACE");
        format!("{text}[{}]", output.status)
    }
}

#[test]
fn help_texts() {
    let place = Place::new();
    let all = [
        "",
        "executer",
        "node",
        "status",
        "flag",
        "flag set",
        "probe",
        "backup",
        "backup prepare",
        "data",
        "data check",
        "ring",
        "predict",
        "placement",
        "keys make",
        "release sign",
        "release verify",
    ];
    let help: Vec<_> = all
        .iter()
        .map(|c| {
            format!(
                "$ ringward {c} --help\n{}",
                place.run(&format!("{c} --help"))
            )
        })
        .collect();
    insta::assert_snapshot!(help.join("\n\n"));
}

#[test]
fn unknown_commands_and_arguments() {
    let place = Place::new();
    let all = [
        "stat",
        "probe",
        "probe pop3 172.21.14.1",
        "probe ftp 172.21.14",
        "probe ftp 172.21.14.203 --every 5",
        "probe ftp 172.21.14.203 --log access.log",
        "data check",
        "flag",
        "ring",
        "ring --group g --topology mesh",
        "keys make --group group",
    ];
    let said: Vec<_> = all
        .iter()
        .map(|c| format!("$ ringward {c}\n{}", place.run(c)))
        .collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn data_check_names_file_line_and_what_was_expected() {
    let place = Place::new();
    place.write("mail.dat", MAIL);
    place.write("group", GROUP);
    place.write("cluster.toml", "profile = \"fast\"\n");
    insta::assert_snapshot!(place.run("data check mail.dat group cluster.toml"));

    place.write("short.dat", &MAIL.replace("mailb\n172.21.14.101\n", ""));
    place.write(
        "mac.dat",
        &MAIL.replace("00:00:00:00:00:01", "00:00:00:00:01"),
    );
    place.write("daemon.dat", &MAIL.replace("dovecot", "dovecote"));
    place.write("type.dat", &MAIL.replace("NETWORK", "NET"));
    place.write("twin.dat", MAIL);
    place.write("operation", "P3 mail web1 web1.dat\n");
    place.write("trouble", "ftpb ftp\n");
    place.write("notes", "");
    fs::create_dir(place.path().join("bad")).unwrap();
    place.write("bad/group", &GROUP.replace("2 web1", "1 web1"));
    place.write("bad/cluster.toml", "profile = \"slow\"\n");
    place.write(
        "bad/condition",
        "mail 1 40 30 50\n# ringward len=3 crc32=00000000\n",
    );
    insta::assert_snapshot!(place.run(
        "data check absent.dat short.dat mac.dat daemon.dat type.dat mail.dat twin.dat operation \
         trouble notes bad/group bad/cluster.toml bad/condition"
    ));
}

#[test]
fn data_seal_makes_a_file_that_servers_take() {
    let place = Place::new();
    place.write("group", GROUP);
    place.write("mail.dat", MAIL);
    insta::assert_snapshot!(place.run("data seal group group mail.dat"), @r"
    group: sealed
    group: was sealed already
    mail.dat: has no trailer and needs none
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("data check group"), @r"
    group: good
    [exit status: 0]
    ");
    // Edited after it was sealed: noticed, and sealed anew when asked.
    let text = fs::read_to_string(place.path().join("group")).unwrap();
    place.write("group", &text.replace("3 ftp ftp.dat\n", ""));
    insta::assert_snapshot!(place.run("data check group"), @r"
    group: the trailer says 46 bytes, there are 32; restore the file, or seal it anew with `ringward data seal group`
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("data seal group"), @r"
    group: sealed
    [exit status: 0]
    ");
}

#[test]
fn ring_shows_who_manages_whom() {
    let place = Place::new();
    place.write("group", GROUP);
    insta::assert_snapshot!(place.run("ring --group group"));
    insta::assert_snapshot!(place.run("ring --group absent"), @r"
    ringward: read absent: No such file or directory (os error 2)
    [exit status: 1]
    ");
    let shrunk = [
        "--separated ftp,web1",
        "--topology star --json",
        "--separated nobody",
    ]
    .map(|rest| place.run(&format!("ring --group group {rest}")))
    .join("\n");
    insta::assert_snapshot!("ring_without_some", shrunk);
}

#[test]
fn placement_gives_the_values_of_the_papers_fig_5() {
    let place = Place::new();
    place.write("condition", "mail 1 30 20 40\nweb 0 40 30 50\n");
    insta::assert_snapshot!(place.run("placement --type NETWORK --condition condition"), @r"
    web 43
    mail 133
    [exit status: 0]
    ");
    place.write("empty", "");
    insta::assert_snapshot!(
        place.run("placement --type NETWORK --condition condition --json"),
        @r#"
    {
      "chosen": "web",
      "servers": [
        {
          "name": "web",
          "value": 43.0
        },
        {
          "name": "mail",
          "value": 133.0
        }
      ]
    }
    [exit status: 0]
    "#
    );
    insta::assert_snapshot!(place.run("placement --type CPU --condition empty"), @r"
    ringward: empty: no server has told its load yet
    [exit status: 1]
    ");
}

#[test]
fn predict_gives_the_condition_file_of_measured_loads() {
    let place = Place::new();
    let sample = |name: &str, loads: &str| {
        format!(
            r#"{{"name":"{name}","cores":2,"memory_kb":1000,"rated_kb":256000,"vm":0,{loads}}}"#
        )
    };
    let mail = sample("mail", r#""am":[500,400],"ac":[80,90],"an":[100,300]"#);
    let web = sample("web", r#""am":[900,900],"ac":[20,10],"an":[0,0]"#);
    place.write("samples", &format!(r#"{{"servers":[{mail},{web}]}}"#));
    insta::assert_snapshot!(place.run("predict --samples samples"), @r"
    mail 0 100.00 0.00 100.00
    web 0 0.00 100.00 0.00
    [exit status: 0]
    ");
    let json = place.run("predict --samples samples --json");
    assert!(json.contains(r#""nm": 100.0"#), "{json}");
    place.write("broken", r#"{"servers":[{"name":"mail"}]}"#);
    insta::assert_snapshot!(place.run("predict --samples broken"), @r"
    ringward: broken is no file of samples; see --help: missing field `cores` at line 1 column 27
    [exit status: 1]
    ");
}

#[test]
fn flag_is_set_shown_and_cleared() {
    let place = Place::new();
    let said = ["show", "set", "set", "show", "clear", "clear"]
        .map(|command| place.run(&format!("flag {command} --state state")))
        .join("\n");
    insta::assert_snapshot!(said, @r"
    flag not set
    [exit status: 1]
    flag set
    [exit status: 0]
    flag was set already
    [exit status: 0]
    flag set
    [exit status: 0]
    flag cleared
    [exit status: 0]
    flag was not set
    [exit status: 0]
    ");
}

#[test]
fn status_without_a_node() {
    let place = Place::new();
    insta::assert_snapshot!(place.run("status --run ."), @r"
    ringward: ./status.json does not exist: no node runs on this server (`ringward flag show`, `systemctl status ringward-executer`)
    [exit status: 1]
    ");
    place.write(
        "status.json",
        r#"{"server":"mail","updated":"2026-01-01T00:00:00Z"}"#,
    );
    let said = place.run("status --run .");
    assert!(
        said.contains("ringward: the node has not written its status for "),
        "{said}"
    );
    assert!(said.ends_with("[exit status: 1]"), "{said}");
}

#[test]
fn node_with_what_does_not_fit_does_not_start() {
    let place = Place::new();
    let run = || place.run("node --site site --state state --share share --run run");
    let no_medium = run();
    for name in ["site", "state", "state/share", "share", "run"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    place.write("site/node.toml", "name = \"mail\"\n");
    let no_data = run();
    place.write("state/share/group", "1 mail mail.dat\n");
    place.run("data seal state/share/group");
    place.write("state/share/operation", "");
    place.write("state/share/cluster.toml", "");
    place.write("state/share/mail.dat", MAIL);
    place.write("group", GROUP);
    place.run("keys make --group group --out keys");
    let no_key = run();
    let copy = |from: &str, to: &str| {
        fs::copy(place.path().join(from), place.path().join(to)).unwrap();
    };
    copy("keys/ca.pem", "site/ca.pem");
    copy("keys/mail/node.pem", "site/node.pem");
    copy("keys/ftp/node.key", "site/node.key");
    let other_key = run();
    copy("keys/ftp/node.pem", "site/node.pem");
    let other_server = run();
    let all = [no_medium, no_data, no_key, other_key, other_server].join("\n");
    insta::assert_snapshot!(all);
}

#[test]
fn keys_and_releases() {
    let place = Place::new();
    place.write("group", GROUP);
    place.write("agent", "the agent");
    insta::assert_snapshot!(place.run("keys make --group group --out keys"), @r"
    keys of 3 servers in keys
    [exit status: 0]
    ");
    insta::assert_snapshot!(place.run("keys make --group group --out keys"), @r"
    ringward: keys exists; keys of a running cluster are never replaced: move it away, or choose another --out
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("release sign agent --key keys/release.pub --out release"), @r"
    ringward: keys/release.pub: no items found; expected the release.key that `ringward keys make` wrote
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("release sign agent --key keys/release.key --out release --as 7"), @r"
    release 7 in release
    [exit status: 0]
    ");
    insta::assert_snapshot!(place.run("release verify release --key keys/release.pub"), @r"
    release 7, signed by this cluster's key
    [exit status: 0]
    ");
    place.write("release/ringward", "another agent");
    insta::assert_snapshot!(place.run("release verify release --key keys/release.pub"), @r"
    ringward: release/ringward: its SHA-256 is not the signed one; the copy is torn, or the file was changed after `ringward release sign`
    [exit status: 1]
    ");
}

#[test]
fn probes_of_nothing() {
    let place = Place::new();
    let nothing = std::net::TcpListener::bind("127.0.0.9:21");
    drop(nothing);
    let said = place.run("probe ftp 127.0.0.9 --within 2s");
    assert!(
        said.starts_with("XX ") && said.ends_with("[exit status: 1]"),
        "{said}"
    );
    insta::assert_snapshot!(place.run("probe ping 127.0.0.9 --every 1s"), @r"
    ringward: --every: an access log is of a service; choose one instead of ping
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("probe ftp 127.0.0.9 --settings absent.toml"), @r"
    ringward: read absent.toml: No such file or directory (os error 2)
    [exit status: 1]
    ");
}

#[test]
fn golden_states_of_nothing() {
    let place = Place::new();
    insta::assert_snapshot!(place.run("backup list --share ."), @r"
    ringward: list ./backup; is the share mounted?: No such file or directory (os error 2)
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("backup prepare ftp --site . --share ."), @r"
    ringward: read ./node.toml: No such file or directory (os error 2); is the site medium (volume RINGWARD) in and mounted?
    [exit status: 1]
    ");
    place.write("node.toml", "name = \"mail\"\n");
    insta::assert_snapshot!(place.run("backup prepare ftp --site . --share share"), @r"
    ringward: read share/ftp.dat: No such file or directory (os error 2) (is the share mounted here, and complete?)
    [exit status: 1]
    ");
    place.write("mail.dat", MAIL);
    insta::assert_snapshot!(place.run("backup prepare ftp --site . --share ."), @r"
    ringward: there is no ftp.dat on the share; known servers: mail
    [exit status: 1]
    ");
    insta::assert_snapshot!(place.run("backup verify mail --site . --share ."), @r"
    ringward: read ./cluster.toml: No such file or directory (os error 2) (is the share mounted here, and complete?)
    [exit status: 1]
    ");
    fs::create_dir_all(place.path().join("backup/ftpb")).unwrap();
    insta::assert_snapshot!(place.run("backup list --share ."), @r"
    ftpb: read ./backup/ftpb/current: No such file or directory (os error 2)
    [exit status: 1]
    ");
}
