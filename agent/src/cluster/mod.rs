//! Facts about a cluster: management data, group, ring, timings. Pure, no I/O.
