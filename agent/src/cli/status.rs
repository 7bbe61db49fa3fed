//! `ringward status`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use ringward::observe::Status;
use ringward::site::Paths;

use super::PathArgs;

/// Options of the status.
#[derive(Debug, Args)]
pub(super) struct Command {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let paths: Paths = self.paths.into();
        let status = Status::read(&paths.status())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&status)?);
        } else {
            print!("{}", describe(&status));
        }
        match status.stale_s(Timestamp::now()) {
            Some(age_s) => anyhow::bail!(
                "the node has not written its status for {age_s} s: it is stuck or gone (`systemctl status ringward-executer`)"
            ),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

fn describe(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = describe_to(&mut text, status);
    text
}

fn describe_to(to: &mut String, status: &Status) -> std::fmt::Result {
    let Status {
        server,
        release,
        pid,
        started,
        resident_kb,
        share,
        ..
    } = status;
    writeln!(to, "server    {server}, release {release}")?;
    let mib = *resident_kb as f64 / 1024.0;
    writeln!(
        to,
        "node      process {pid} since {started}, {mib:.1} MiB resident"
    )?;
    let group: Vec<&str> = status.group.iter().map(AsRef::as_ref).collect();
    writeln!(to, "group     {}", group.join(" "))?;
    if let Some(vip) = &status.vip {
        let held = if vip.held { "held" } else { "not held" };
        writeln!(to, "VIP       {} {held}, epoch {}", vip.address, vip.epoch)?;
    }
    for manager in &status.managers {
        writeln!(
            to,
            "{:<9} {}: {}",
            manager.priority.to_string(),
            manager.target,
            manager.mode
        )?;
    }
    for vm in &status.vms {
        writeln!(to, "VM        {}: {}", vm.name, vm.state)?;
    }
    for peer in &status.peers {
        let link = if peer.up {
            "connected"
        } else {
            "not connected"
        };
        let why = peer
            .why
            .as_ref()
            .map(|why| format!(" ({why})"))
            .unwrap_or_default();
        let heard = peer
            .heard_ms
            .map_or("never heard".to_owned(), |ms| format!("heard {ms} ms ago"));
        writeln!(to, "peer      {}: {link}{why}, {heard}", peer.name)?;
    }
    writeln!(to, "share     {share}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringward::cluster::{Epoch, Priority};
    use ringward::observe::{ManagerStatus, PeerStatus, VipStatus, VmStatus};

    #[test]
    fn status_reads_like_this() {
        let name = |text: &str| text.parse().unwrap();
        let peer = |text, up, why: Option<&str>, heard_ms| PeerStatus {
            name: name(text),
            up,
            why: why.map(str::to_owned),
            heard_ms,
        };
        let status = Status {
            server: "web1".to_owned(),
            release: "0.1.0".to_owned(),
            pid: 412,
            started: "2026-01-02T12:00:00Z".to_owned(),
            group: ["mail", "web1", "web2"].map(name).to_vec(),
            vip: Some(VipStatus {
                address: [172, 21, 14, 202].into(),
                held: true,
                epoch: Epoch(0),
            }),
            managers: vec![ManagerStatus {
                priority: Priority::P1,
                target: name("ftp"),
                mode: "Backup server".to_owned(),
            }],
            vms: vec![VmStatus {
                name: name("ftpb"),
                state: "serving".to_owned(),
            }],
            peers: vec![
                peer("mail", true, None, Some(120)),
                peer("ftp", false, Some("no answer to the connection"), None),
            ],
            share: "answers".to_owned(),
            resident_kb: 9830,
            ..Status::default()
        };
        insta::assert_snapshot!(describe(&status), @r"
        server    web1, release 0.1.0
        node      process 412 since 2026-01-02T12:00:00Z, 9.6 MiB resident
        group     mail web1 web2
        VIP       172.21.14.202 held, epoch 0
        P1        ftp: Backup server
        VM        ftpb: serving
        peer      mail: connected, heard 120 ms ago
        peer      ftp: not connected (no answer to the connection), never heard
        share     answers
        ");
    }
}
