//! What to break and what to measure, as data.
