//! VM images on the share: `<vm>/{disk.qcow2,vmlinuz,initrd,cmdline,vm.toml}`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::VmError;
use super::store::{text, unusable};

/// What a backup VM is booted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) cmdline: String,
    pub(super) size: Size,
}

/// The resources of a VM; the part of `vm.toml` that concerns the hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Size {
    pub(super) memory_mb: u32,
    pub(super) vcpus: u32,
}

impl Image {
    pub(super) fn open(images: &Path, vm: &str) -> Result<Self, VmError> {
        let dir = images.join(vm);
        let present = |name: &str| {
            let path = dir.join(name);
            match fs::metadata(&path) {
                Ok(_) => Ok(path),
                Err(source) => Err(VmError::File {
                    doing: "find the VM image's",
                    path,
                    source,
                }),
            }
        };
        let size = dir.join("vm.toml");
        let size = toml::from_str(&text(&size)?).map_err(unusable(&size))?;
        Ok(Self {
            disk: present("disk.qcow2")?,
            kernel: present("vmlinuz")?,
            initrd: present("initrd")?,
            cmdline: text(&dir.join("cmdline"))?.trim().to_owned(),
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_lacks_a_file_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let of_vm = dir.path().join("ftpb");
        fs::create_dir(&of_vm).unwrap();
        for (name, text) in [
            (
                "vm.toml",
                "memory_mb = 256\nvcpus = 1\ndaemons = [\"vsftpd\"]\n",
            ),
            ("cmdline", "root=PARTLABEL=root\n"),
            ("disk.qcow2", ""),
            ("vmlinuz", ""),
        ] {
            fs::write(of_vm.join(name), text).unwrap();
        }
        let error = Image::open(dir.path(), "ftpb").unwrap_err().to_string();
        assert!(error.ends_with("ftpb/initrd"), "{error}");
        fs::write(of_vm.join("initrd"), "").unwrap();
        let image = Image::open(dir.path(), "ftpb").unwrap();
        assert_eq!(image.cmdline, "root=PARTLABEL=root");
        assert_eq!(
            image.size,
            Size {
                memory_mb: 256,
                vcpus: 1
            }
        );
    }
}
