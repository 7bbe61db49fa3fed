//! What the lab is made of: the description `lab.json` that the flake builds, and its tools.
//!
//! The tools (QEMU, mke2fs, mtools ...) come from an unconfigured Debian tree in the store. They
//! run through that tree's own loader, `ld.so --library-path L TOOL ARGS`, so they need nothing of
//! the host: no root, no chroot, no libraries. The same holds inside a build sandbox.

use super::error::{LabError, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Environment variable that names the description.
pub const ENV: &str = "RINGWARD_LAB";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    tools: PathBuf,
    loader: PathBuf,
    library_path: String,
    agent: PathBuf,
    machines: BTreeMap<String, PathBuf>,
    vms: BTreeMap<String, PathBuf>,
}

/// One image of the store: a directory with `disk.qcow2`, `vmlinuz`, `initrd` and `cmdline`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(PathBuf);

impl Image {
    /// The files that every image has.
    pub const FILES: [&'static str; 4] = ["disk.qcow2", "vmlinuz", "initrd", "cmdline"];

    /// The path of one of [`Image::FILES`].
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The kernel command line that boots this image without its own boot loader.
    pub fn cmdline(&self) -> Result<String> {
        let path = self.file("cmdline");
        let text = std::fs::read_to_string(&path).map_err(LabError::io("read", &path))?;
        Ok(text.trim().to_owned())
    }
}

/// A loaded and checked description.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The description's own text: it names store paths, so it identifies all inputs.
    pub text: String,
    /// The tools.
    pub tools: Toolbox,
    /// The agent's binary as the flake built it.
    pub agent: PathBuf,
    machines: BTreeMap<String, Image>,
    /// The backup VM images, by VM host name.
    pub vms: BTreeMap<String, Image>,
}

impl Bundle {
    /// Loads the description named by `flag` (of `--lab`) or by [`ENV`].
    pub fn find(flag: Option<&Path>) -> Result<Bundle> {
        let from_env = std::env::var_os(ENV).map(PathBuf::from);
        match flag.map(Path::to_owned).or(from_env) {
            Some(path) => Bundle::load(&path),
            None => Err(LabError::Bundle {
                path: PathBuf::from("lab.json"),
                what: format!("neither --lab nor {ENV} names it"),
            }),
        }
    }

    /// Loads a description and checks that everything it names is there.
    pub fn load(path: &Path) -> Result<Bundle> {
        let wrong = |what: String| LabError::Bundle {
            path: path.to_owned(),
            what,
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let d: Description = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        for file in [&d.tools, &d.loader, &d.agent] {
            if !file.exists() {
                return Err(wrong(format!(
                    "it names {}, which does not exist",
                    file.display()
                )));
            }
        }
        let images = |of: BTreeMap<String, PathBuf>| -> Result<BTreeMap<String, Image>> {
            of.into_iter()
                .map(
                    |(name, dir)| match Image::FILES.iter().find(|f| !dir.join(f).exists()) {
                        None => Ok((name, Image(dir))),
                        Some(file) => Err(wrong(format!(
                            "the image of {name}, {}, has no {file}",
                            dir.display()
                        ))),
                    },
                )
                .collect()
        };
        let (machines, vms) = (images(d.machines)?, images(d.vms)?);
        let tools = Toolbox {
            root: d.tools,
            loader: d.loader,
            library_path: d.library_path,
        };
        Ok(Bundle {
            text,
            tools,
            agent: d.agent,
            machines,
            vms,
        })
    }

    /// The image of a machine.
    pub fn image(&self, machine: &str) -> Result<&Image> {
        self.machines.get(machine).ok_or_else(|| {
            let known: Vec<&str> = self.machines.keys().map(String::as_str).collect();
            LabError::NoMachine {
                name: machine.to_owned(),
                known: known.join(" "),
            }
        })
    }
}

/// The programs of the tool root.
#[derive(Debug, Clone)]
pub struct Toolbox {
    root: PathBuf,
    loader: PathBuf,
    library_path: String,
}

impl Toolbox {
    /// The words that run `tool`, to be followed by its arguments.
    pub fn words(&self, tool: &str) -> Vec<OsString> {
        let places = ["usr/bin", "usr/sbin"];
        let found = places
            .iter()
            .map(|p| self.root.join(p).join(tool))
            .find(|p| p.exists());
        let program = found.unwrap_or_else(|| self.root.join(places[0]).join(tool));
        let loader = self.loader.clone().into_os_string();
        vec![
            loader,
            "--library-path".into(),
            self.library_path.clone().into(),
            program.into(),
        ]
    }

    /// A command that runs `tool`.
    pub fn command(&self, tool: &str) -> Command {
        let words = self.words(tool);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("LC_ALL", "C");
        command
    }

    /// A file of the tool root, such as `usr/share/qemu`.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Runs `tool` to its end; what it prints is its result, or part of the error.
    pub fn run(&self, tool: &str, args: &[OsString]) -> Result<Vec<u8>> {
        self.run_with(tool, args, |_| Ok(()))
    }

    /// Like [`Toolbox::run`]; `feed` writes the tool's standard input.
    pub fn run_with(
        &self,
        tool: &str,
        args: &[OsString],
        feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<Vec<u8>> {
        let failed = |status: String, output: &[u8]| LabError::Tool {
            tool: tool.to_owned(),
            status,
            output: last_lines(output),
        };
        let mut command = self.command(tool);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| failed(e.to_string(), b""))?;
        let fed = match child.stdin.take() {
            Some(mut stdin) => feed(&mut stdin),
            None => Ok(()),
        };
        let Output {
            status,
            stdout,
            stderr,
        } = child
            .wait_with_output()
            .map_err(|e| failed(e.to_string(), b""))?;
        if !status.success() {
            return Err(failed(status.to_string(), &[stderr, stdout].concat()));
        }
        fed.map_err(|e| failed(format!("its input broke off: {e}"), &stderr))?;
        Ok(stdout)
    }
}

/// The last few lines of what a tool printed, on one line.
pub fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A bundle whose only image, of ftp, is made of empty files in `dir`.
    pub(crate) fn bundle_in(dir: &Path) -> Bundle {
        let image = dir.join("img");
        std::fs::create_dir(&image).unwrap();
        for name in Image::FILES {
            std::fs::write(image.join(name), " root=LABEL=root\n").unwrap();
        }
        let file = dir.join("lab.json");
        std::fs::write(&file, description(dir, &image)).unwrap();
        Bundle::load(&file).unwrap()
    }

    fn description(dir: &Path, image: &Path) -> String {
        serde_json::json!({
            "tools": dir, "loader": dir, "library_path": "a:b", "agent": dir,
            "machines": { "ftp": image }, "vms": {},
        })
        .to_string()
    }

    #[test]
    fn says_what_a_description_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("img");
        std::fs::create_dir(&image).unwrap();
        let file = dir.path().join("lab.json");
        std::fs::write(&file, description(dir.path(), &image)).unwrap();
        let error = Bundle::load(&file).unwrap_err().to_string();
        assert!(error.contains("the image of ftp"), "{error}");
        assert!(error.contains("has no disk.qcow2"), "{error}");
        for name in Image::FILES {
            std::fs::write(image.join(name), " root=LABEL=root\n").unwrap();
        }
        let bundle = Bundle::load(&file).unwrap();
        assert_eq!(
            bundle.image("ftp").unwrap().cmdline().unwrap(),
            "root=LABEL=root"
        );
        let error = bundle.image("gopher").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no machine \"gopher\" in the lab; there are: ftp"
        );
    }

    #[test]
    fn a_missing_or_broken_description_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lab.json");
        let missing = Bundle::load(&file).unwrap_err().to_string();
        assert!(missing.contains("lab.json: No such file"), "{missing}");
        std::fs::write(&file, "{\"tools\": 3}").unwrap();
        let broken = Bundle::load(&file).unwrap_err().to_string();
        assert!(broken.contains("line 1 column"), "{broken}");
    }

    #[test]
    fn the_last_lines_fit_on_one() {
        assert_eq!(last_lines(b"a\nb\n\nc\n d\ne\n"), "b | c | d | e");
    }
}
