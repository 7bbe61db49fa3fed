//! The directory of one experiment: everything that is known about it, each file explained.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Name of the file that explains the others.
pub const README: &str = "README.txt";

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Something is in it.
    #[error(
        "the run directory {} exists and is not empty; give --out a new one, or remove it",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// The system refused.
    #[error("writing {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A run directory under way.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    /// Name and explanation of every file, in the order of their coming.
    files: Vec<(String, String)>,
    /// What should be there and is not, and why.
    missing: Vec<String>,
}

impl RunDir {
    /// Checks that a run directory can be made at `root`, and makes nothing yet.
    ///
    /// # Errors
    /// [`RunDirError::NotEmpty`] when it holds anything.
    pub fn check(root: &Path) -> Result<(), RunDirError> {
        let io = |source| RunDirError::Io {
            path: root.to_owned(),
            source,
        };
        match fs::read_dir(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(error)),
            Ok(mut entries) => match entries.next() {
                None => Ok(()),
                Some(_) => Err(RunDirError::NotEmpty(root.to_owned())),
            },
        }
    }

    /// Makes the directory, with its parents.
    ///
    /// # Errors
    /// [`RunDirError::NotEmpty`] when it holds anything.
    pub fn create(root: &Path) -> Result<Self, RunDirError> {
        Self::check(root)?;
        fs::create_dir_all(root).map_err(|source| RunDirError::Io {
            path: root.to_owned(),
            source,
        })?;
        Ok(Self {
            root: root.to_owned(),
            files: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Writes a file; `about` explains it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &mut self,
        name: &str,
        about: &str,
        content: impl AsRef<[u8]>,
    ) -> Result<(), RunDirError> {
        let path = self.place(name)?;
        fs::write(&path, content).map_err(|source| RunDirError::Io { path, source })?;
        self.files.push((name.to_owned(), about.to_owned()));
        Ok(())
    }

    /// Takes a file in that is kept elsewhere.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn copy(&mut self, from: &Path, name: &str, about: &str) -> Result<(), RunDirError> {
        let path = self.place(name)?;
        // A link costs no room; across file systems it cannot be made.
        if fs::hard_link(from, &path).is_err() {
            let failed = |source| RunDirError::Io {
                path: from.to_owned(),
                source,
            };
            fs::copy(from, &path).map_err(failed)?;
        }
        self.files.push((name.to_owned(), about.to_owned()));
        Ok(())
    }

    /// Notes that something could not be collected.
    pub fn lacks(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    /// Writes the file that explains the others. Call it last.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn explain(&self, head: &str) -> Result<(), RunDirError> {
        let width = self
            .files
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = format!("{head}\n\n");
        for (name, about) in &self.files {
            text.push_str(&format!("{name:width$}  {about}\n"));
        }
        if !self.missing.is_empty() {
            text.push_str("\nNot collected:\n");
            for what in &self.missing {
                text.push_str(&format!("  {what}\n"));
            }
        }
        let path = self.root.join(README);
        fs::write(&path, text).map_err(|source| RunDirError::Io { path, source })
    }

    /// The path of `name`, with its folder made.
    fn place(&self, name: &str) -> Result<PathBuf, RunDirError> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| RunDirError::Io {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("runs/nt2");
        let mut run = RunDir::create(&root).unwrap();
        run.write("run-1/log/ftp.log", "system log of ftp", "x")
            .unwrap();
        run.copy(&root.join("run-1/log/ftp.log"), "copy.log", "the same")
            .unwrap();
        run.lacks("journal of ftp: it is off");
        run.explain("Experiment nt2").unwrap();
        assert_eq!(fs::read_to_string(root.join("copy.log")).unwrap(), "x");
        insta::assert_snapshot!(fs::read_to_string(root.join(README)).unwrap(), @r"
        Experiment nt2

        run-1/log/ftp.log  system log of ftp
        copy.log           the same

        Not collected:
          journal of ftp: it is off
        ");
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "").unwrap();
        assert!(matches!(
            RunDir::create(dir.path()),
            Err(RunDirError::NotEmpty(_))
        ));
        assert!(RunDir::create(&dir.path().join("x")).is_err());
    }
}
