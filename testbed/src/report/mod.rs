//! What a run showed: the paper's model, the figures read off the logs, tables and pictures.

pub mod analytical;
pub mod owners;
pub mod paper;
pub mod pcap;
