//! The one binary on every server.

fn main() {}
