//! The trailer of the management files: `# ringward len=<bytes before it> crc32=<8 hex digits>`.
//!
//! It is the last line of the file. Length and checksum together tell a file that was cut short,
//! filled with zeros after a crash, or edited by hand from a whole one.

use thiserror::Error;

const MARK: &str = "# ringward len=";

/// What is wrong with a sealed file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// The last line is not a trailer.
    #[error(
        "the last line is not a trailer `# ringward len=.. crc32=..`: cut short, or written by hand"
    )]
    NoTrailer,
    /// Bytes are missing or were added.
    #[error("the trailer says {expected} bytes, there are {found}")]
    Length {
        /// Bytes before the trailer, as the trailer says.
        expected: usize,
        /// Bytes before the trailer, as found.
        found: usize,
    },
    /// Bytes were changed.
    #[error("the trailer says checksum {expected:08x}, the text has {found:08x}")]
    Checksum {
        /// CRC-32 in the trailer.
        expected: u32,
        /// CRC-32 of the text.
        found: u32,
    },
    /// Not text at all.
    #[error("it is not UTF-8 text (byte {at})")]
    NotText {
        /// Offset of the first bad byte.
        at: usize,
    },
}

/// `text` with its trailer. A missing line end is added first.
pub fn seal(text: &str) -> String {
    let mut sealed = text.to_owned();
    if !sealed.is_empty() && !sealed.ends_with('\n') {
        sealed.push('\n');
    }
    let trailer = format!(
        "{MARK}{} crc32={:08x}\n",
        sealed.len(),
        crc32fast::hash(sealed.as_bytes())
    );
    sealed.push_str(&trailer);
    sealed
}

/// The text before the trailer.
///
/// # Errors
/// [`Damage`] when the trailer is missing or does not fit the text.
pub fn unseal(bytes: &[u8]) -> Result<&str, Damage> {
    let text = std::str::from_utf8(bytes).map_err(|e| Damage::NotText {
        at: e.valid_up_to(),
    })?;
    let whole = text.strip_suffix('\n').ok_or(Damage::NoTrailer)?;
    let start = whole.rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = whole.split_at(start);
    let (length, checksum) = parse(last).ok_or(Damage::NoTrailer)?;
    if body.len() != length {
        return Err(Damage::Length {
            expected: length,
            found: body.len(),
        });
    }
    let found = crc32fast::hash(body.as_bytes());
    if found != checksum {
        return Err(Damage::Checksum {
            expected: checksum,
            found,
        });
    }
    Ok(body)
}

fn parse(trailer: &str) -> Option<(usize, u32)> {
    let (length, checksum) = trailer.strip_prefix(MARK)?.split_once(" crc32=")?;
    // Numbers as they are written: parsing alone would take a sign too.
    let plain = length.bytes().all(|byte| byte.is_ascii_digit())
        && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
    if checksum.len() != 8 || !plain {
        return None;
    }
    Some((
        length.parse().ok()?,
        u32::from_str_radix(checksum, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trailer_has_the_documented_form() {
        insta::assert_snapshot!(seal("1 mail mail.dat"), @r"
        1 mail mail.dat
        # ringward len=16 crc32=8b7709ad
        ");
        assert_eq!(unseal(seal("").as_bytes()), Ok(""));
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(unseal(b""), Err(Damage::NoTrailer));
        assert_eq!(unseal(b"1 mail mail.dat\n"), Err(Damage::NoTrailer));
        assert_eq!(unseal(&[0; 64]), Err(Damage::NoTrailer));
        for signed in ["len=0 crc32=+0000000", "len=+0 crc32=00000000"] {
            let signed = format!("# ringward {signed}\n");
            assert_eq!(unseal(signed.as_bytes()), Err(Damage::NoTrailer));
        }
        assert_eq!(unseal(&[b'a', 0xff]), Err(Damage::NotText { at: 1 }));
        let edited = seal("1 mail mail.dat").replace("1 mail", "12 mail");
        assert_eq!(
            unseal(edited.as_bytes()),
            Err(Damage::Length {
                expected: 16,
                found: 17
            })
        );
        let edited = seal("1 mail mail.dat").replace("1 mail", "2 mail");
        assert!(matches!(
            unseal(edited.as_bytes()),
            Err(Damage::Checksum { .. })
        ));
    }

    proptest! {
        #[test]
        fn every_cut_and_every_changed_byte_is_noticed(
            text in "([a-z0-9 ]{0,12}\n){0,5}", cut in 0usize..200, at in 0usize..200, flip in 1u8..128
        ) {
            let sealed = seal(&text).into_bytes();
            prop_assert_eq!(unseal(&sealed), Ok(text.as_str()));
            prop_assert!(unseal(&sealed[..cut.min(sealed.len() - 1)]).is_err());
            let mut changed = sealed.clone();
            let at = at % sealed.len();
            changed[at] ^= flip;
            // Upper case in the checksum reads the same; everything else must be refused.
            let same = changed.to_ascii_lowercase() == sealed;
            prop_assert!(same || unseal(&changed).is_err());
        }
    }
}
