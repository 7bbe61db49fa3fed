//! What each machine of a lab finds on its media: addresses, keys, the share, the users' data.
//!
//! Images hold none of this. Keys, passwords and the probe's SSH key are made anew for each lab;
//! the management files are written by the agent's own code, so that the lab cannot disagree with
//! it about a format.

use super::agent;
use super::bundle::{Bundle, Image};
use super::error::{LabError, Result};
use super::network::{self, Kind, MACHINES, Spec};
use super::sshkey::{self, SshKey};
use super::tar::Entry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA512, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ringward::cluster::ring::operation;
use ringward::cluster::{Group, ManagementData, Member, Profile, ServerName, Topology};
use ringward::keys::{self, ClusterKeys, Validity};
use ringward::share;
use std::fmt::{Display, Write};
use std::path::Path;

/// Owner of the probe's home, as in the images.
const PROBE: (u32, u32) = (1500, 1500);
/// Owner of the mail spool, as in the images.
const VMAIL: (u32, u32) = (5000, 5000);
/// Memory of a backup VM.
const VM_MEMORY_MB: u32 = 256;

/// `cluster.toml` of a lab, up to `[probe]`. An emulated host that runs several backup VMs takes longer to
/// restore another one from the share than a profile would wait.
pub fn settings(profile: Profile) -> String {
    format!("profile = \"{profile}\"\n\n[timings]\nt_va = 60\n")
}

/// All that is secret or chosen for one lab.
pub struct Site {
    keys: ClusterKeys,
    ssh: SshKey,
    password: String,
    /// The text of `cluster.toml`, without the probe's account.
    settings: String,
    topology: Topology,
}

impl Site {
    /// Makes keys and passwords. `settings` is the text of `cluster.toml` up to `[probe]`.
    pub fn new(settings: &str, topology: Topology) -> Result<Site> {
        let names = network::servers().map(name).collect::<Result<Vec<_>>>()?;
        let keys = keys::make(&names, Validity::default()).map_err(other("make the lab's keys"))?;
        let mut random = [0; 12];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(other("choose a password"))?;
        let password = random.iter().map(|b| format!("{b:02x}")).collect();
        let settings = settings.to_owned();
        Ok(Site {
            keys,
            ssh: sshkey::make()?,
            password,
            settings,
            topology,
        })
    }

    /// The files of a machine's site medium.
    pub fn medium(&self, spec: &Spec) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = vec![
            ("lan.network".to_owned(), lan_network(spec)),
            ("hosts".to_owned(), hosts()),
        ];
        match spec.kind {
            Kind::Server(_) => {
                let own = self.keys.medium(&name(spec)?).unwrap_or_default();
                files.extend(own.into_iter().map(|(leaf, text)| (leaf.to_owned(), text)));
            }
            Kind::FileServer | Kind::Client => {
                files.push((
                    "node.toml".to_owned(),
                    format!("name = \"{}\"\n", spec.name),
                ));
            }
        }
        if spec.kind == Kind::Client {
            files.push(("cluster.toml".to_owned(), self.cluster_toml()));
        }
        if spec.kind != Kind::FileServer {
            files.push(("probe.key".to_owned(), self.ssh.private.clone()));
        }
        Ok(files
            .into_iter()
            .map(|(leaf, text)| (leaf, text.into_bytes()))
            .collect())
    }

    /// The files of the share. The release is signed in `scratch`, which must outlive the entries.
    pub fn share(&self, bundle: &Bundle, scratch: &Path) -> Result<Vec<Entry>> {
        let key = scratch.join("release.key");
        std::fs::write(&key, &self.keys.release_key).map_err(LabError::io("write", &key))?;
        let signed = agent::sign(&bundle.agent, &key, scratch)?;
        let mut entries: Vec<Entry> = ["release", "images", "backup", "claims", "log"]
            .map(Entry::directory)
            .into();
        for (leaf, mode) in agent::RELEASE {
            entries.push(Entry::copy(&format!("release/{leaf}"), &signed.join(leaf)).mode(mode));
        }
        let group = group()?;
        for (leaf, text) in [
            ("group", group.to_string()),
            ("operation", operation(&group, self.topology).to_string()),
            ("separation", String::new()),
            ("trouble", String::new()),
            ("condition", String::new()),
        ] {
            entries.push(Entry::file(leaf, share::seal(&text)));
        }
        for server in network::servers() {
            let dat = management_data(server)?;
            entries.push(Entry::file(
                &format!("{}.dat", server.name),
                dat.to_string(),
            ));
        }
        entries.push(Entry::file("cluster.toml", self.cluster_toml()).mode(0o600));
        for (vm, image) in &bundle.vms {
            entries.push(Entry::directory(&format!("images/{vm}")));
            for leaf in Image::FILES {
                entries.push(Entry::copy(
                    &format!("images/{vm}/{leaf}"),
                    &image.file(leaf),
                ));
            }
            entries.push(Entry::file(&format!("images/{vm}/vm.toml"), vm_toml(vm)?));
        }
        Ok(entries)
    }

    /// The users' data on file server 2.
    pub fn data(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = ["ftp", "ftp/pub", "www", "home", "mail"]
            .map(Entry::directory)
            .into();
        entries.extend([
            Entry::file("ftp/pub/README", "Served from file server 2 over NFS.\n"),
            Entry::file("ftp/pub/1MB.bin", pattern(1 << 20)),
            Entry::file(
                "www/index.html",
                "<!DOCTYPE html><title>ringward</title><p>It works.\n",
            ),
            Entry::file("mail/users", format!("probe:{}\n", hashed(&self.password))),
        ]);
        for dir in ["mail/spool", "mail/spool/probe"] {
            entries.push(Entry::directory(dir).owned(VMAIL.0, VMAIL.1).mode(0o700));
        }
        for dir in ["cur", "new", "tmp"] {
            let path = format!("mail/spool/probe/{dir}");
            entries.push(Entry::directory(&path).owned(VMAIL.0, VMAIL.1).mode(0o700));
        }
        for dir in ["home/probe", "home/probe/.ssh"] {
            entries.push(Entry::directory(dir).owned(PROBE.0, PROBE.1).mode(0o700));
        }
        entries.push(
            Entry::file("home/probe/.ssh/authorized_keys", self.ssh.public.clone())
                .owned(PROBE.0, PROBE.1)
                .mode(0o600),
        );
        entries
    }

    /// `cluster.toml` whole. The proxy is examined with the pages of both web servers: with one it
    /// would be ill whenever that server is.
    fn cluster_toml(&self) -> String {
        let web = MACHINES.iter().filter(|m| m.name.starts_with("web"));
        let pages: Vec<String> = web.map(|m| format!("http://{}/", m.vip())).collect();
        format!(
            "{}\n[probe]\nuser = \"probe\"\npassword = \"{}\"\nproxy_url = \"{}\"\n",
            self.settings.trim_end(),
            self.password,
            pages.join(" ")
        )
    }

    /// The key that releases of the agent are signed with.
    pub fn release_key(&self) -> &str {
        &self.keys.release_key
    }
}

pub(super) fn other<E: Display>(doing: &'static str) -> impl Fn(E) -> LabError {
    move |e| LabError::Other(format!("cannot {doing}: {e}"))
}

fn name(spec: &Spec) -> Result<ServerName> {
    parse(spec.name)
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|e| LabError::Other(format!("{text:?} is no name here: {e}")))
}

fn group() -> Result<Group> {
    let member = |spec: &Spec| {
        let Kind::Server(number) = spec.kind else {
            return Ok(None);
        };
        let (number, data) = (u32::from(number), format!("{}.dat", spec.name));
        Ok(Some(Member {
            number,
            name: name(spec)?,
            data: data.into(),
        }))
    };
    let members: Vec<Option<Member>> = MACHINES.iter().map(member).collect::<Result<_>>()?;
    Ok(Group::new(members.into_iter().flatten()))
}

/// The paper's eight lines about a server, checked by the agent's own reader.
fn management_data(spec: &Spec) -> Result<ManagementData> {
    let function = spec.function().ok_or_else(|| {
        LabError::Other(format!(
            "{} is no server and has no management data",
            spec.name
        ))
    })?;
    let lines = [
        spec.vip().to_string(),
        spec.name.to_owned(),
        spec.ip.to_string(),
        spec.mac.to_string(),
        function.daemons.to_owned(),
        function.server_type.to_string(),
        spec.vm_name(),
        spec.vm_ip().to_string(),
    ];
    let file = format!("{}.dat", spec.name);
    ManagementData::parse(&file, &lines.join("\n")).map_err(other("write management data"))
}

fn vm_toml(vm: &str) -> Result<String> {
    let daemons = network::servers()
        .find(|s| s.vm_name() == vm)
        .and_then(Spec::function)
        .map(|f| {
            f.daemons
                .split(' ')
                .map(|d| format!("\"{d}\""))
                .collect::<Vec<_>>()
                .join(", ")
        })
        .ok_or_else(|| LabError::Other(format!("no server has a backup VM named {vm}")))?;
    Ok(format!(
        "memory_mb = {VM_MEMORY_MB}\nvcpus = 1\ndaemons = [{daemons}]\n"
    ))
}

/// A password as dovecot's passwd-file takes it, for all to read.
fn hashed(password: &str) -> String {
    // Each lab's password is random and used once: a fixed salt gives nothing away.
    let salt = b"ringward";
    let hash = digest(&SHA512, &[password.as_bytes(), salt].concat());
    format!(
        "{{SSHA512}}{}",
        STANDARD.encode([hash.as_ref(), salt].concat())
    )
}

fn lan_network(spec: &Spec) -> String {
    format!(
        "[Match]\nName=br0\n\n[Network]\nAddress={}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
        spec.ip
    )
}

fn hosts() -> String {
    let mut text = "127.0.0.1 localhost\n".to_owned();
    for machine in &MACHINES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}", machine.ip, machine.name);
    }
    for server in network::servers() {
        let _ = writeln!(text, "{} {}", server.vm_ip(), server.vm_name());
    }
    text
}

/// Octets that neither compress away nor need a source of randomness.
fn pattern(octets: usize) -> Vec<u8> {
    (0..octets as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_keys_and_a_file_server_has_none() {
        let site = Site::new("profile = \"paper\"\n", Topology::Ring).unwrap();
        let names = |machine: &str| {
            let medium = site.medium(network::find(machine).unwrap()).unwrap();
            let mut names: Vec<String> = medium.into_iter().map(|(name, _)| name).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(
            names("ftp"),
            "ca.pem hosts lan.network node.key node.pem node.toml probe.key release.pub"
        );
        assert_eq!(names("file1"), "hosts lan.network node.toml");
        assert_eq!(
            names("client"),
            "cluster.toml hosts lan.network node.toml probe.key"
        );
    }

    #[test]
    fn the_settings_are_such_as_the_agent_reads() {
        let site = Site::new(&settings(Profile::Fast), Topology::Ring).unwrap();
        let settings = ringward::cluster::Settings::parse("t", &site.cluster_toml()).unwrap();
        let pages = "http://172.21.14.202/ http://172.21.14.204/";
        assert_eq!(settings.probe.proxy_url, pages);
        assert_eq!(settings.probe.password.len(), 24);
    }

    #[test]
    fn the_ring_and_its_data_are_the_papers() {
        insta::assert_snapshot!(group().unwrap().to_string(), @r"
        1 mail mail.dat
        2 web1 web1.dat
        3 ftp ftp.dat
        4 web2 web2.dat
        5 proxy proxy.dat
        6 login login.dat
        ");
        let ftp = network::find("ftp").unwrap();
        insta::assert_snapshot!(management_data(ftp).unwrap().to_string(), @r"
        172.21.14.203
        ftp
        172.21.14.3
        00:00:00:00:00:03
        vsftpd
        NETWORK
        ftpb
        172.21.14.103
        ");
        insta::assert_snapshot!(vm_toml("mailb").unwrap(), @r#"
        memory_mb = 256
        vcpus = 1
        daemons = ["postfix", "dovecot"]
        "#);
    }

    #[test]
    fn home_and_spool_belong_to_their_users() {
        let site = Site::new("", Topology::Ring).unwrap();
        let data = site.data();
        let owner = |path: &str| {
            data.iter()
                .find(|e| e.path == path)
                .map(|e| (e.uid, e.mode))
        };
        assert_eq!(
            owner("home/probe/.ssh/authorized_keys"),
            Some((1500, 0o600))
        );
        assert_eq!(owner("mail/spool/probe/new"), Some((5000, 0o700)));
        assert_eq!(owner("ftp/pub/README"), Some((0, 0o644)));
        assert!(hashed("secret").starts_with("{SSHA512}"));
        assert_eq!(hashed("secret").len(), 9 + 96);
    }
}
