//! Is a file of management data what its name says? For people who edit such files, and before a
//! server replaces its last good copy.

use thiserror::Error;

use crate::cluster::{
    Condition, Group, ManagementData, Operation, ParseError, Settings, SettingsError, Trouble,
};
use crate::share::{Damage, unseal};

/// The management files that end in a trailer (paper, Fig. 6).
pub const SEALED: [&str; 5] = ["group", "separation", "operation", "trouble", "condition"];

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A line is not what it should be.
    #[error(transparent)]
    Line(#[from] ParseError),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The trailer does not fit the text.
    #[error("{file}: {damage}; restore the file, or seal it anew with `ringward data seal {file}`")]
    Damage {
        /// The file as the caller named it.
        file: String,
        /// What does not fit.
        damage: Damage,
    },
    /// A name that says nothing.
    #[error(
        "{file}: not a file of management data; expected group, separation, operation, trouble, condition, cluster.toml or a name that ends in .dat"
    )]
    Name {
        /// The file as the caller named it.
        file: String,
    },
}

/// What a good file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// The eight lines about a server.
    Data(ManagementData),
    /// One of the five management files; `sealed` tells whether it has its trailer.
    Management {
        /// Without a trailer no server takes it from the share.
        sealed: bool,
    },
    /// `cluster.toml`.
    Settings,
}

/// True for the names that [`check`] knows.
pub fn is_management_data(name: &str) -> bool {
    SEALED.contains(&name) || name == "cluster.toml" || name.ends_with(".dat")
}

/// Checks `bytes`, the content of `file`, by the last part of its name.
///
/// # Errors
/// [`CheckError`]: file, line where there is one, and what was expected.
pub fn check(file: &str, bytes: &[u8]) -> Result<Checked, CheckError> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if !is_management_data(name) {
        return Err(CheckError::Name {
            file: file.to_owned(),
        });
    }
    let damaged = |damage| CheckError::Damage {
        file: file.to_owned(),
        damage,
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        damaged(Damage::NotText {
            at: e.valid_up_to(),
        })
    })?;
    if name == "cluster.toml" {
        Settings::parse(file, text)?;
        return Ok(Checked::Settings);
    }
    if !SEALED.contains(&name) {
        return Ok(Checked::Data(ManagementData::parse(file, text)?));
    }
    let sealed = text.lines().any(|line| line.starts_with("# ringward "));
    if sealed {
        unseal(bytes).map_err(damaged)?;
    }
    match name {
        "operation" => drop(Operation::parse(file, text)?),
        "trouble" => drop(Trouble::parse(file, text)?),
        "condition" => drop(Condition::parse(file, text)?),
        _ => drop(Group::parse(file, text)?),
    }
    Ok(Checked::Management { sealed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::seal;

    #[test]
    fn files_are_known_by_name_and_trailers_are_checked() {
        let group = "1 mail mail.dat\n";
        let checked = check("share/group", group.as_bytes()).unwrap();
        assert_eq!(checked, Checked::Management { sealed: false });
        let sealed = seal(group);
        let checked = check("share/group", sealed.as_bytes()).unwrap();
        assert_eq!(checked, Checked::Management { sealed: true });
        let edited = sealed.replace("1 mail", "2 mail");
        let error = check("share/group", edited.as_bytes()).unwrap_err();
        assert!(matches!(error, CheckError::Damage { .. }), "{error}");
        assert!(matches!(check("notes", b""), Err(CheckError::Name { .. })));
        assert_eq!(check("cluster.toml", b"").unwrap(), Checked::Settings);
        assert!(matches!(
            check("mail.dat", b"x\n"),
            Err(CheckError::Line(_))
        ));
    }
}
