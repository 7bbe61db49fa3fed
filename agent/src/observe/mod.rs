//! What people read: the system log in the paper's format, journald, status.
