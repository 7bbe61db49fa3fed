//! Machines under QEMU, the LAN switch between them, power and wake-on-LAN, saved states.
