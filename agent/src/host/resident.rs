//! Gives back the memory that only loading this program needed.
//!
//! libvirt's client brings sixty libraries with it. Of most of them nothing is ever called, but the
//! loader has looked into all, and for each page that it touched the kernel counted sixteen as
//! resident. Those pages are the files' own, unchanged: they can be let go of at any time and come
//! back when they are used.

use std::fs;
use std::io;

/// Part of this process's memory, as `/proc/self/smaps` describes it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Area {
    start: usize,
    end: usize,
    /// Private, not writable, and of a file.
    from_file: bool,
    resident_kb: u64,
    /// Memory or swap that is no longer the file's; relocated addresses, for one.
    changed_kb: u64,
}

/// Lets go of all unchanged, unwritable pages of files. Call it at the start of the program, while
/// it has one thread: who loads a library meanwhile changes what is changed.
///
/// # Errors
/// When the kernel does not tell about the memory of this process, or refuses.
pub fn give_back() -> io::Result<()> {
    let description = fs::read_to_string("/proc/self/smaps")?;
    for area in areas(&description).into_iter().filter(Area::can_go) {
        let_go(&area)?;
    }
    Ok(())
}

impl Area {
    fn can_go(&self) -> bool {
        self.from_file && self.changed_kb == 0 && self.resident_kb > 0
    }
}

#[allow(
    unsafe_code,
    reason = "no safe interface advises the kernel about memory"
)]
fn let_go(area: &Area) -> io::Result<()> {
    let start = area.start as *mut libc::c_void;
    // SAFETY: the area is a private mapping of a file that nobody can write to, and no page of it
    // differs from the file. There is one thread, so nothing has changed since that was read. The
    // next access, by this very function if need be, maps the same bytes again.
    let refused = unsafe { libc::madvise(start, area.end - area.start, libc::MADV_DONTNEED) } != 0;
    if refused {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn areas(description: &str) -> Vec<Area> {
    let mut found: Vec<Area> = Vec::new();
    for line in description.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(key) = first.strip_suffix(':') {
            let kb = words.next().and_then(|word| word.parse().ok());
            if let (Some(area), Some(kb)) = (found.last_mut(), kb) {
                match key {
                    "Rss" => area.resident_kb = kb,
                    "Anonymous" | "Swap" | "Private_Dirty" | "Shared_Dirty" => {
                        area.changed_kb += kb
                    }
                    _ => {}
                }
            }
        } else if let Some(area) = head(first, words) {
            found.push(area);
        }
    }
    found
}

/// Reads `start-end perms offset device inode path`.
fn head<'a>(range: &str, mut words: impl Iterator<Item = &'a str>) -> Option<Area> {
    let (start, end) = range.split_once('-')?;
    let (start, end) = (
        usize::from_str_radix(start, 16).ok()?,
        usize::from_str_radix(end, 16).ok()?,
    );
    let permissions = words.next()?;
    let inode = words.nth(2)?;
    let of_file = inode != "0" && words.next().is_some_and(|path| path.starts_with('/'));
    let from_file = of_file && !permissions.contains('w') && permissions.ends_with('p');
    Some(Area {
        start,
        end,
        from_file,
        ..Area::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_pages_of_files_can_go() {
        let area = |head: &str, changed: &str| {
            let text = format!("{head}\nSize: 8 kB\nRss: 8 kB\n{changed}\nVmFlags: rd mr mw me\n");
            let found = areas(&text);
            assert_eq!(found.len(), 1, "{text}");
            found[0].can_go()
        };
        let code = "7f00-9f00 r-xp 00002000 fe:00 1234      /usr/lib/libvirt.so.0";
        assert!(area(code, "Anonymous: 0 kB"));
        assert!(!area(code, "Anonymous: 4 kB"));
        assert!(!area(code, "Swap: 4 kB"));
        assert!(!area(
            "7f00-9f00 rw-p 00002000 fe:00 1234 /usr/lib/x",
            "Anonymous: 0 kB"
        ));
        assert!(!area(
            "7f00-9f00 r--s 00002000 fe:00 1234 /usr/lib/x",
            "Anonymous: 0 kB"
        ));
        assert!(!area(
            "7f00-9f00 r-xp 00000000 00:00 0 [vdso]",
            "Anonymous: 0 kB"
        ));
        assert!(!area("7f00-9f00 r--p 00000000 00:00 0", "Anonymous: 0 kB"));
    }

    #[test]
    fn own_memory_can_be_read() {
        let text = fs::read_to_string("/proc/self/smaps").unwrap();
        let found = areas(&text);
        assert!(found.iter().any(Area::can_go), "{text}");
        assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
