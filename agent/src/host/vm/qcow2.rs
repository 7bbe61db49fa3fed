//! Throw-away overlays: an empty qcow2 file (version 3) over a read-only one.
//!
//! Written here rather than by qemu-img, whose start alone takes longer under emulation than the
//! rest of preparing an activation. Format: QEMU's docs/interop/qcow2.txt.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

const MAGIC: &[u8; 4] = b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
const HEADER: u32 = 104;
/// Guest bytes that one entry of the L1 table covers: a cluster of 8-byte L2 entries.
const L1_COVERS: u64 = CLUSTER / 8 * CLUSTER;
const BACKING_FORMAT: u32 = 0xe279_2aca;

/// Creates `overlay` over the qcow2 file `backing`, in place of a left-over one.
pub(super) fn create_overlay(overlay: &Path, backing: &Path) -> io::Result<()> {
    let size = virtual_size(backing)?;
    let name = backing.to_str().ok_or(ErrorKind::InvalidInput)?;
    let layout = Layout::of(size);
    // Never in place: a left-over may still be open in a VM that is being destroyed.
    match fs::remove_file(overlay) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(overlay)?;
    file.write_all(&header(size, &layout, name)?)?;
    file.seek(SeekFrom::Start(CLUSTER))?;
    file.write_all(&(2 * CLUSTER).to_be_bytes())?;
    file.seek(SeekFrom::Start(2 * CLUSTER))?;
    for _ in 0..layout.clusters() {
        file.write_all(&1_u16.to_be_bytes())?;
    }
    // The L1 table is all zero: every read goes to the backing file.
    file.set_len(layout.clusters() * CLUSTER)
}

/// The size of the disk that a guest sees.
pub(super) fn virtual_size(path: &Path) -> io::Result<u64> {
    let mut head = [0; 32];
    File::open(path)?.read_exact(&mut head)?;
    if head[..4] != *MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a qcow2 file"));
    }
    let mut size = [0; 8];
    size.copy_from_slice(&head[24..32]);
    Ok(u64::from_be_bytes(size))
}

/// Clusters in order: header, refcount table, one refcount block, L1 table.
struct Layout {
    l1_entries: u32,
    l1_clusters: u64,
}

impl Layout {
    fn of(size: u64) -> Self {
        let l1_entries = size.div_ceil(L1_COVERS).max(1);
        Self {
            l1_entries: l1_entries as u32,
            l1_clusters: (l1_entries * 8).div_ceil(CLUSTER),
        }
    }

    fn clusters(&self) -> u64 {
        3 + self.l1_clusters
    }
}

fn header(size: u64, layout: &Layout, backing: &str) -> io::Result<Vec<u8>> {
    const FORMAT: &[u8; 8] = b"qcow2\0\0\0";
    // The header, the extension with the backing file's format, the end of extensions.
    let name_offset = u64::from(HEADER) + 16 + 8;
    // More than this many disks would need a second refcount block, or the name another cluster.
    if layout.clusters() > CLUSTER / 2 || backing.len() > 1023 {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut out = Vec::with_capacity(256 + backing.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&3_u32.to_be_bytes());
    out.extend_from_slice(&name_offset.to_be_bytes());
    out.extend_from_slice(&(backing.len() as u32).to_be_bytes());
    out.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes()); // no encryption
    out.extend_from_slice(&layout.l1_entries.to_be_bytes());
    out.extend_from_slice(&(3 * CLUSTER).to_be_bytes()); // L1 table
    out.extend_from_slice(&CLUSTER.to_be_bytes()); // refcount table
    out.extend_from_slice(&1_u32.to_be_bytes()); // its clusters
    out.extend_from_slice(&0_u32.to_be_bytes()); // no snapshots
    out.extend_from_slice(&0_u64.to_be_bytes());
    out.extend_from_slice(&[0; 24]); // no features
    out.extend_from_slice(&4_u32.to_be_bytes()); // refcounts of 16 bits
    out.extend_from_slice(&HEADER.to_be_bytes());
    out.extend_from_slice(&BACKING_FORMAT.to_be_bytes());
    out.extend_from_slice(&5_u32.to_be_bytes());
    out.extend_from_slice(FORMAT);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(backing.as_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_of_an_overlay() {
        let dir = tempfile::tempdir().unwrap();
        let (base, over) = (dir.path().join("base"), dir.path().join("over"));
        let size = 3 * 512 * 1024 * 1024 + 512;
        fs::write(&base, header(size, &Layout::of(size), "none").unwrap()).unwrap();
        create_overlay(&over, &base).unwrap();
        assert_eq!(virtual_size(&over).unwrap(), size);
        // A left-over is replaced.
        fs::write(&over, "left over").unwrap();
        create_overlay(&over, &base).unwrap();

        let bytes = fs::read(&over).unwrap();
        assert_eq!(bytes.len() as u64, 4 * CLUSTER);
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(word(36), 4, "one L1 entry for each 512 MiB");
        let (name, length) = (long(8) as usize, word(16) as usize);
        assert_eq!(
            &bytes[name..name + length],
            base.to_str().unwrap().as_bytes()
        );
        assert_eq!(long(CLUSTER as usize), 2 * CLUSTER, "refcount block");
        let refcounts = &bytes[2 * CLUSTER as usize..][..12];
        assert_eq!(refcounts, [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_qcow2_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        fs::write(&base, [0; 100]).unwrap();
        let error = create_overlay(&dir.path().join("over"), &base).unwrap_err();
        assert_eq!(error.to_string(), "not a qcow2 file");
    }
}
