# libvirt runs as one daemon without helpers (log, lock, machined, polkit): the agent, as root, is its
# only client, and each helper is one more process to start and one more way to fail.
disable libvirtd.service
mask libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service \
  virtlogd.service virtlogd.socket virtlogd-admin.socket polkit.service systemd-machined.service systemd-machined.socket dbus.service dbus.socket
without tmpfiles.d polkit-tmpfiles.conf
rm -rf $R/etc/libvirt/qemu/networks
enable share.automount ringward-executer.service

# The flag file stands from the factory; an operator who removes it stops the managers for good.
mkdir -p $R/share $R/var/lib/ringward $R/usr/lib/ringward
chmod 700 $R/var/lib/ringward
: > $R/var/lib/ringward/flag
ln -sfn ../lib/ringward/ringward $R/usr/bin/ringward
unpack_modules kvm_amd kvm_intel irqbypass tun vhost_net
