//! T_v on a busy host (section 4.4, Fig. 16): the backup VM of one server started on another that the
//! client keeps busy, while the managers are at rest and no server keeps a state loaded.

use super::atrest::{unload, wait};
use super::calibrate;
use super::site::{self, Site, SiteServer, node};
use super::spec::Load;
use crate::report::calibration::ServerTimes;
use anyhow::Context;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
/// How many at the same time; the paper's number.
const MANY: usize = 50;
/// How many begin together, once those before them are under way. The FTP server's queue of new connections
/// holds 32: of more, the kernel drops some that the client takes for established, and they wait for a greeting
/// that never comes.
const TOGETHER: usize = 10;
/// How many each of them sends before a new batch begins, in which the fast wait for the slow.
const EACH: usize = 40;
/// Where uploads go on file server 2. The appliance's FTP server is read-only and so is its mount: a second
/// one with a mount of its own runs while they last.
const UPLOADS: &str = "/data/ftp/uploads";
const PORT: &str = "2121";
/// Units that make the load: on the server, and for every batch of the client's.
const UNITS: &str = "load*.service";
/// Until those that begin together are under way; they take turns slowly on emulated machines.
const UNDER_WAY: Duration = Duration::from_secs(30);

/// T_v under each load, in seconds, as `ringward backup verify` measures it.
pub type UnderLoad = Vec<(Load, ServerTimes)>;

/// Measures, into `all`. The site must be prepared anew afterwards.
///
/// # Errors
/// When golden states stay loaded, a load does not begin, or the VM does not start. What was measured
/// until then is in `all`.
pub fn activations(
    site: &dyn Site,
    servers: &[SiteServer],
    [of, on]: [&str; 2],
    loads: &[Load],
    say: &mut dyn FnMut(&str),
    all: &mut UnderLoad,
) -> anyhow::Result<()> {
    let host = servers.iter().find(|server| server.name == on);
    let host = host.with_context(|| format!("the site has no server {on}"))?;
    say("unloading golden states, to try one");
    unload(site, servers)?;
    for load in loads {
        say(&format!(
            "starting the backup VM of {of} on {on} under {}",
            words(*load)
        ));
        begin(site, host, *load).with_context(|| format!("beginning {}", words(*load)))?;
        let mut times = ServerTimes::default();
        let measured = calibrate::activations(site, on, of, &mut times);
        let ended = end(site, host, *load);
        measured
            .and(ended)
            .with_context(|| format!("starting the VM under {}", words(*load)))?;
        all.push((*load, times));
    }
    Ok(())
}

/// A load as reports have it.
#[must_use]
pub fn words(load: Load) -> String {
    match load {
        Load::None => "no load".to_owned(),
        Load::Downloads => format!("{MANY} downloads of 1 MB files"),
        Load::Uploads => format!("{MANY} uploads of 1 MB files"),
        Load::Jobs => format!("{MANY} programs that draw random numbers"),
    }
}

fn begin(site: &dyn Site, host: &SiteServer, load: Load) -> anyhow::Result<()> {
    match load {
        Load::None => return Ok(()),
        Load::Downloads => {}
        Load::Uploads => {
            let free = format!("mkdir -p {UPLOADS} && chmod 777 {UPLOADS} && rm -f {UPLOADS}/*");
            site::output(site, node::FILE2, &["sh", "-c", &free], WITHIN)?;
            let argv = ["sh", "-c", MOUNT];
            site::output(site, &host.name, &argv, WITHIN)?;
            run(site, &host.name, "load", &upload_server())?;
        }
        Load::Jobs => {
            let jobs = format!(
                "for i in $(seq {MANY}); do awk 'BEGIN {{ for (;;) rand() }}' & done; wait"
            );
            run(site, &host.name, "load", &jobs)?;
            return under_way(site, host, load, MANY);
        }
    }
    for first in (1..=MANY).step_by(TOGETHER) {
        let last = first + TOGETHER - 1;
        let script = transfers(&host.ip.to_string(), load, first, last);
        run(site, node::CLIENT, &format!("load-{first}"), &script)?;
        under_way(site, host, load, last)?;
    }
    Ok(())
}

/// Has a shell of `node` run until `unit` is stopped.
fn run(site: &dyn Site, node: &str, unit: &str, script: &str) -> anyhow::Result<()> {
    let unit = format!("--unit={unit}");
    let argv = [
        "systemd-run",
        "--quiet",
        "--collect",
        &unit,
        "sh",
        "-c",
        script,
    ];
    site::output(site, node, &argv, WITHIN).map(drop)
}

/// Waits until so many are under way at the same time.
fn under_way(site: &dyn Site, host: &SiteServer, load: Load, many: usize) -> anyhow::Result<()> {
    wait(site, UNDER_WAY, || {
        let busy = busy(site, host, load)?;
        Ok((busy < many).then(|| format!("{busy} of {many} are under way")))
    })
}

/// The client's part of those numbered `first` to `last`: again and again.
fn transfers(ip: &str, load: Load, first: usize, last: usize) -> String {
    let one = match load {
        Load::Uploads => format!("upload-file=file.{first}\\nurl=ftp://{ip}:{PORT}/uploads/%s\\n"),
        _ => format!("# %s\\nurl=ftp://{ip}/pub/1MB.bin\\noutput=/dev/null\\n"),
    };
    format!(
        "cd /run; head -c 1048576 /dev/urandom > file.{first}
for round in $(seq {EACH}); do printf '{one}' $(seq {first} {last}); done > transfers.{first}
while :; do curl --silent --parallel --parallel-immediate --parallel-max {TOGETHER} --config transfers.{first}; done"
    )
}

/// The service program once more, at another port, for writing as well.
fn upload_server() -> String {
    format!(
        "exec vsftpd /etc/vsftpd.conf -olisten_port={PORT} -owrite_enable=YES -oanon_upload_enable=YES \
         -oanon_other_write_enable=YES -oanon_root=/run/uploads -opasv_min_port=40100 -opasv_max_port=40199"
    )
}

/// The FTP tree on file server 2 once more, for writing.
const MOUNT: &str = "mkdir -p /run/uploads
mount -t nfs4 -o vers=4.2,sec=sys,soft,timeo=20,retrans=2,nosharecache file2:/data/ftp /run/uploads";

/// How many transfers or programs are under way; of uploads, how many files were begun.
fn busy(site: &dyn Site, host: &SiteServer, load: Load) -> anyhow::Result<usize> {
    let (node, count) = match load {
        Load::None => return Ok(0),
        Load::Jobs => (host.name.as_str(), "pgrep -c -x awk".to_owned()),
        Load::Downloads => (host.name.as_str(), SESSIONS.to_owned()),
        Load::Uploads => (node::FILE2, format!("find {UPLOADS} -type f | wc -l")),
    };
    let ran = site.exec(node, &["sh", "-c", &count], WITHIN)?;
    Ok(ran.text().trim().parse().unwrap_or(0))
}

/// A session has two processes, and one listens.
const SESSIONS: &str = "echo $((($(pgrep -c -x vsftpd) - 1) / 2))";

fn end(site: &dyn Site, host: &SiteServer, load: Load) -> anyhow::Result<()> {
    if load == Load::None {
        return Ok(());
    }
    for node in [node::CLIENT, &host.name] {
        site.exec(node, &["systemctl", "stop", UNITS], WITHIN)?;
    }
    Ok(())
}
