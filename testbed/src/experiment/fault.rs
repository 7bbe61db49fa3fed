//! Makes the trouble: what each kind does to a server.

use super::site::{Site, SiteServer, Switch};
use super::spec::TroubleKind;
use anyhow::Context;
use ringward::cluster::Daemon;

/// How a trouble is made.
#[derive(Debug, PartialEq, Eq)]
enum Means {
    /// By a command on the server itself.
    Command(Vec<String>),
    /// From outside.
    Power(Switch),
}

/// What makes `trouble`. The service program of St2 stays
/// out of order until the server restarts, because a mask under /run is gone then. Nt1 and Nt2
/// end all programs at once and then unmount: with units stopped one after the other, the service
/// was gone seconds before the network, and P1 saw a trouble of the service first.
fn means(trouble: TroubleKind, server: &SiteServer) -> Means {
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
        TroubleKind::Cut => return Means::Power(Switch::Cut),
        TroubleKind::Dead => return Means::Power(Switch::Unplug),
        TroubleKind::Freeze => return Means::Power(Switch::Freeze),
    };
    Means::Command(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Makes `trouble` on `server`, at once: nothing is waited for, so that several servers are struck at
/// the same moment. Whether an order was carried out shows in what follows.
///
/// # Errors
/// When the server does not take the order.
pub fn strike(
    site: &mut dyn Site,
    trouble: TroubleKind,
    server: &SiteServer,
) -> anyhow::Result<()> {
    let command = match means(trouble, server) {
        Means::Power(switch) => return site.power(&server.name, switch),
        Means::Command(command) => command,
    };
    if matches!(trouble, TroubleKind::Nt1 | TroubleKind::Nt2) {
        site.shuts_down(&server.name);
    }
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    site.start(&server.name, &argv)
        .with_context(|| format!("making trouble on {}", server.name))
}

/// How the experiment's report words what was done.
#[must_use]
pub fn describe(trouble: TroubleKind, server: &SiteServer) -> String {
    let unit = server.daemons.first().map_or("", Daemon::name);
    words(trouble, &server.name, unit)
}

/// The same of a server called `name` with a service called `unit`.
#[must_use]
pub fn words(trouble: TroubleKind, name: &str, unit: &str) -> String {
    let done = match trouble {
        TroubleKind::St1 => format!("{unit} stopped"),
        TroubleKind::St2 => format!("{unit} stopped and kept from starting"),
        TroubleKind::Nt1 => "restarted".to_owned(),
        TroubleKind::Nt2 => "shut down".to_owned(),
        TroubleKind::Cut => "power cut".to_owned(),
        TroubleKind::Dead => "power cut for good".to_owned(),
        TroubleKind::Freeze => "frozen".to_owned(),
    };
    format!("{name}: {done}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ring::tests::server;

    #[test]
    fn each_trouble_is_one_order() {
        let ftp = server("ftp", 3, "vsftpd");
        let [a, b, c, d] = TroubleKind::PAPER;
        let all = [
            a,
            b,
            c,
            d,
            TroubleKind::Cut,
            TroubleKind::Dead,
            TroubleKind::Freeze,
        ]
        .map(|trouble| {
            let means = match means(trouble, &ftp) {
                Means::Command(command) => command.join(" "),
                Means::Power(switch) => format!("{switch:?}"),
            };
            format!("{}: {means}", describe(trouble, &ftp))
        })
        .join("\n");
        insta::assert_snapshot!(all, @r#"
        ftp: vsftpd stopped: systemctl stop vsftpd
        ftp: vsftpd stopped and kept from starting: sh -c systemctl stop "$1"; systemctl mask --runtime --now "$1" sh vsftpd
        ftp: restarted: systemctl reboot --force
        ftp: shut down: systemctl poweroff --force
        ftp: power cut: Cut
        ftp: power cut for good: Unplug
        ftp: frozen: Freeze
        "#);
    }
}
