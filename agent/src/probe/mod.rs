//! Examinations: one file a protocol.
