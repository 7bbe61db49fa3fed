//! The experiments that come with the testbed, compiled in from `testbed/experiments/`.

use super::spec::{Experiment, SpecError};
use std::path::Path;

/// Name and text of every built-in file, in the order of `--list`.
const BUILT_IN: [(&str, &str); 2] = [
    (
        "testbed/experiments/st1.toml",
        include_str!("../../experiments/st1.toml"),
    ),
    (
        "testbed/experiments/nt2.toml",
        include_str!("../../experiments/nt2.toml"),
    ),
];

/// Why an experiment was not found.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// No built-in experiment has that name.
    #[error(
        "there is no experiment {name:?}; known are {known}, or give the path of a file that ends in .toml"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file was refused.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// All built-in experiments.
///
/// # Errors
/// When a built-in file is malformed; a test keeps that from being built.
pub fn all(servers: &[&str]) -> Result<Vec<Experiment>, SpecError> {
    BUILT_IN
        .iter()
        .map(|(origin, text)| Experiment::parse(origin, text, servers))
        .collect()
}

/// The experiment called `name`, or the one in the file `name` when that ends in `.toml`.
///
/// # Errors
/// [`CatalogueError::Unknown`] lists the known names; a malformed file is reported as such.
pub fn find(name: &str, servers: &[&str]) -> Result<Experiment, CatalogueError> {
    if name.ends_with(".toml") {
        return Ok(Experiment::read(Path::new(name), servers)?);
    }
    let experiments = all(servers)?;
    let known = experiments
        .iter()
        .map(|e| e.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    experiments
        .into_iter()
        .find(|e| e.name == name)
        .ok_or_else(|| CatalogueError::Unknown {
            name: name.to_owned(),
            known,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 6] = ["mail", "web1", "ftp", "web2", "proxy", "login"];

    #[test]
    fn every_built_in_file_is_good_and_named_like_its_experiment() {
        let experiments = all(&SERVERS).unwrap();
        for (experiment, (origin, _)) in experiments.iter().zip(BUILT_IN) {
            assert_eq!(
                origin,
                format!("testbed/experiments/{}.toml", experiment.name)
            );
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        insta::assert_snapshot!(find("nt3", &SERVERS).unwrap_err(),
            @r#"there is no experiment "nt3"; known are st1, nt2, or give the path of a file that ends in .toml"#);
    }

    #[test]
    fn a_file_of_the_operator_is_read_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, BUILT_IN[1].1.replace("\"nt2\"", "\"mine\"")).unwrap();
        assert_eq!(find(path.to_str().unwrap(), &SERVERS).unwrap().name, "mine");
        let missing = find("missing.toml", &SERVERS).unwrap_err().to_string();
        assert!(missing.contains("missing.toml"), "{missing}");
    }
}
