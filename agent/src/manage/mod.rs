//! Decisions: the management program of the paper (section 3). Pure: no I/O, no clock, no random.
