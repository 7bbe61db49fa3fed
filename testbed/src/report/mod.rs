//! What a run showed: the paper's model, the figures read off the logs, tables and pictures.

pub mod access;
pub mod analytical;
pub mod calibration;
pub mod clock;
pub mod explain;
pub mod figures;
pub mod html;
pub mod logs;
pub mod owners;
pub mod paper;
pub mod pcap;
pub mod plot;
pub mod result;
pub mod startups;
pub mod steps;
pub mod story;
pub mod survey;
pub mod table;
pub mod tables;
pub mod timeline;
