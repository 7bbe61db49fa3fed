//! The machines there are at this moment, for whoever looks on: also while a lab comes up.

use super::error::{LabError, Result};
use super::machine::Machine;
use super::network;
use std::sync::{Arc, PoisonError, RwLock};

/// A list of machines that its holders share.
#[derive(Debug, Clone, Default)]
pub struct Roster(Arc<RwLock<Vec<Arc<Machine>>>>);

impl Roster {
    /// Other machines from now on.
    pub fn set(&self, machines: Vec<Arc<Machine>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = machines;
    }

    /// All machines.
    pub fn all(&self) -> Vec<Arc<Machine>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A machine by name; the error lists the names there are.
    pub fn find(&self, name: &str) -> Result<Arc<Machine>> {
        let (spec, all) = (network::find(name)?, self.all());
        all.iter()
            .find(|m| m.spec == *spec)
            .cloned()
            .ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(|m| m.spec.name).collect();
                let known = if known.is_empty() {
                    "none yet".to_owned()
                } else {
                    known.join(" ")
                };
                LabError::NoMachine {
                    name: name.to_owned(),
                    known,
                }
            })
    }
}
