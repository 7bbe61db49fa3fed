//! Messages between agents: framing and mutual authentication.
