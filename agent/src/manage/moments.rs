//! The latest moment of something for every function. What is true of all but a few, as a word is, is
//! kept once and not once a function.

use std::collections::BTreeMap;
use std::time::Duration;

use super::io::Now;
use crate::cluster::ServerName;

/// A moment for each function, which only rises.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// Of all functions that `apart` does not name.
    all: Option<Now>,
    apart: BTreeMap<ServerName, Option<Now>>,
}

impl Moments {
    /// That of a function, if it ever had one.
    pub(super) fn get(&self, function: &ServerName) -> Option<Now> {
        self.apart.get(function).copied().unwrap_or(self.all)
    }

    /// Makes all so much later.
    pub(super) fn postpone(&mut self, by: Duration) {
        let apart = self.apart.values_mut().flatten();
        for moment in apart.chain(&mut self.all) {
            *moment = *moment + by;
        }
    }

    /// Raises that of one function.
    pub(super) fn raise(&mut self, function: &ServerName, moment: Now) {
        if self.get(function) < Some(moment) {
            self.apart.insert(function.clone(), Some(moment));
        }
    }

    /// Raises that of all functions but some.
    pub(super) fn raise_all_but(&mut self, but: &[ServerName], moment: Now) {
        for function in but {
            self.apart.entry(function.clone()).or_insert(self.all);
        }
        self.all = self.all.max(Some(moment));
        self.apart.retain(|function, known| {
            if !but.contains(function) {
                *known = Some(moment).max(*known);
            }
            *known != self.all
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_keeps_its_latest_moment() {
        let at = |seconds| Now(std::time::Duration::from_secs(seconds));
        let [a, b, c] = ["a", "b", "c"].map(|name| name.parse::<ServerName>().unwrap());
        let all = |moments: &Moments| [&a, &b, &c].map(|name| moments.get(name));
        let mut moments = Moments::default();
        moments.raise(&a, at(5));
        moments.raise_all_but(std::slice::from_ref(&b), at(3));
        assert_eq!(all(&moments), [Some(at(5)), None, Some(at(3))]);
        moments.raise_all_but(&[], at(2));
        assert_eq!(all(&moments), [Some(at(5)), Some(at(2)), Some(at(3))]);
        moments.raise(&b, at(1));
        moments.raise_all_but(std::slice::from_ref(&c), at(7));
        assert_eq!(all(&moments), [Some(at(7)), Some(at(7)), Some(at(3))]);
        moments.raise_all_but(&[], at(8));
        assert_eq!(all(&moments), [Some(at(8)); 3]);
        assert!(moments.apart.is_empty());
    }
}
