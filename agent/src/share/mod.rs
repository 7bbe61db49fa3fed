//! The shared area on file server 1: atomic files and claims, each with a deadline.
