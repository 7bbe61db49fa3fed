//! Effects on this host: virtual IP, backup VMs, services, load, power, network daemon.
