//! The experiments that come with the testbed, compiled in from `testbed/experiments/`.

use super::spec::{Experiment, SpecError};
use std::path::Path;

/// Path and text of files in `testbed/experiments/`.
macro_rules! built_in {
    ($($name:literal),*) => {
        &[$((
            concat!("testbed/experiments/", $name, ".toml"),
            include_str!(concat!("../../experiments/", $name, ".toml")),
        )),*]
    };
}

/// The built-in files: the paper's figures, then what goes beyond them.
const BUILT_IN: &[(&str, &str)] = built_in![
    "table3", "fig13", "fig14", "fig15", "fig16", "table2", "roles", "power", "host"
];

/// The word for all of them.
const ALL: &str = "paper";

/// What the paper shows of an experiment that is called after something else.
const ALSO: [(&str, &str); 2] = [("fig12", "fig13/nt2"), ("table1", "table2")];

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

/// All cases of all built-in experiments.
///
/// # Errors
/// When a built-in file is malformed; a test keeps that from being built.
pub fn all(servers: &[&str]) -> Result<Vec<Experiment>, SpecError> {
    let mut all = Vec::new();
    for (origin, text) in BUILT_IN {
        all.extend(Experiment::parse(origin, text, servers)?);
    }
    Ok(all)
}

/// What `name` stands for: a file that ends in `.toml`, all that is built in (`paper`), one of the
/// experiments with all its cases (`fig14`; `table1` is shown with `table2`, `fig12` by `fig13/nt2`), or one case (`fig14/nt1-nt2`, or `nt2` alone).
///
/// # Errors
/// [`CatalogueError::Unknown`] lists the known names; a malformed file is reported as such.
pub fn find(name: &str, servers: &[&str]) -> Result<Vec<Experiment>, CatalogueError> {
    if Path::new(name).extension().is_some_and(|end| end == "toml") {
        return Ok(Experiment::read(Path::new(name), servers)?);
    }
    let also = ALSO.iter().find(|(also, _)| *also == name);
    let name = also.map_or(name, |(_, of)| of);
    let all = all(servers)?;
    if name == ALL {
        return Ok(all);
    }
    let is = |e: &&Experiment| e.suite == name || e.case == name || e.name() == name;
    let found: Vec<Experiment> = all.iter().filter(is).cloned().collect();
    if found.is_empty() {
        let also = ALSO.iter().map(|(also, _)| (*also).to_owned());
        let mut known: Vec<String> = std::iter::once(ALL.to_owned()).chain(also).collect();
        for e in &all {
            known.extend((!known.contains(&e.suite)).then(|| e.suite.clone()));
        }
        known.extend(all.iter().map(Experiment::name));
        let (name, known) = (name.to_owned(), known.join(", "));
        return Err(CatalogueError::Unknown { name, known });
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SERVERS: [&str; 6] = ["mail", "web1", "ftp", "web2", "proxy", "login"];

    #[test]
    fn every_built_in_file_is_good_and_named_like_its_experiment() {
        for (origin, text) in BUILT_IN {
            let cases = Experiment::parse(origin, text, &SERVERS).unwrap();
            let path = format!("testbed/experiments/{}.toml", cases[0].suite);
            assert_eq!(*origin, path);
        }
    }

    #[test]
    fn a_name_stands_for_all_a_figure_or_a_case() {
        let count = |name| find(name, &SERVERS).unwrap().len();
        assert_eq!(
            ["paper", "fig13", "fig14", "fig15"].map(count),
            [29, 5, 10, 2]
        );
        for name in ["nt2", "fig13/nt2", "fig14/st2-nt1"] {
            let found = find(name, &SERVERS).unwrap();
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].name().ends_with(name));
        }
        assert_eq!(find("table1", &SERVERS).unwrap()[0].suite, "table2");
        assert_eq!(find("fig12", &SERVERS).unwrap()[0].name(), "fig13/nt2");
        // A case's name alone says which it is.
        let all = all(&SERVERS).unwrap();
        for e in &all {
            assert_eq!(count(&e.case), 1, "{}", e.case);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        insta::assert_snapshot!(find("nt3", &SERVERS).unwrap_err());
    }

    #[test]
    fn a_file_of_the_operator_is_read_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, BUILT_IN[0].1.replace("\"table3\"", "\"mine\"")).unwrap();
        assert_eq!(
            find(path.to_str().unwrap(), &SERVERS).unwrap()[0].suite,
            "mine"
        );
        let missing = find("missing.toml", &SERVERS).unwrap_err().to_string();
        assert!(missing.contains("missing.toml"), "{missing}");
    }
}
