//! Makes the trouble: what each of the paper's four kinds does to a server.

use super::site::{Site, SiteServer};
use super::spec::TroubleKind;
use anyhow::{Context, bail};
use ringward::cluster::Daemon;
use std::time::Duration;

/// How long a machine may take to carry out the order.
const WITHIN: Duration = Duration::from_secs(10);

/// The command that makes `trouble`, run on the server itself. The service program of St2 stays
/// out of order until the server restarts, because a mask under /run is gone then. Nt1 and Nt2
/// end all programs at once and then unmount: with units stopped one after the other, the service
/// was gone seconds before the network, and P1 saw a trouble of the service first.
fn command(trouble: TroubleKind, server: &SiteServer) -> Vec<String> {
    let unit = server.daemons.first().map_or("", Daemon::name);
    let words: &[&str] = match trouble {
        TroubleKind::St1 => &["systemctl", "stop", unit],
        TroubleKind::St2 => &[
            "sh",
            "-c",
            "systemctl stop \"$1\"; systemctl mask --runtime --now \"$1\"",
            "sh",
            unit,
        ],
        TroubleKind::Nt1 => &["systemctl", "reboot", "--force"],
        TroubleKind::Nt2 => &["systemctl", "poweroff", "--force"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Makes `trouble` on `server`.
///
/// # Errors
/// When the server refuses the order. An order that takes the server off the network may go
/// unanswered; whether it was carried out shows in what follows.
pub fn strike(site: &dyn Site, trouble: TroubleKind, server: &SiteServer) -> anyhow::Result<()> {
    let command = command(trouble, server);
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    let ran = match (trouble, site.exec(&server.name, &argv, WITHIN)) {
        (TroubleKind::Nt1 | TroubleKind::Nt2, Err(_)) => return Ok(()),
        (_, ran) => ran.with_context(|| format!("making trouble on {}", server.name))?,
    };
    if ran.status != 0 {
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        bail!(
            "`{}` on {} ended with status {}: {said}",
            command.join(" "),
            server.name,
            ran.status
        );
    }
    Ok(())
}

/// How the experiment's report words what was done.
#[must_use]
pub fn describe(trouble: TroubleKind, server: &SiteServer) -> String {
    let unit = server.daemons.first().map_or("", Daemon::name);
    let done = match trouble {
        TroubleKind::St1 => format!("{unit} stopped"),
        TroubleKind::St2 => format!("{unit} stopped and kept from starting"),
        TroubleKind::Nt1 => "restarted".to_owned(),
        TroubleKind::Nt2 => "shut down".to_owned(),
    };
    format!("{}: {done}", server.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ring::tests::server;

    #[test]
    fn each_trouble_is_one_command() {
        let ftp = server("ftp", 3, "vsftpd");
        let all = TroubleKind::ALL
            .map(|trouble| {
                let command = command(trouble, &ftp).join(" ");
                format!("{}: {command}", describe(trouble, &ftp))
            })
            .join("\n");
        insta::assert_snapshot!(all, @r#"
        ftp: vsftpd stopped: systemctl stop vsftpd
        ftp: vsftpd stopped and kept from starting: sh -c systemctl stop "$1"; systemctl mask --runtime --now "$1" sh vsftpd
        ftp: restarted: systemctl reboot --force
        ftp: shut down: systemctl poweroff --force
        "#);
    }
}
