# Units and rules that a headless appliance does not use are off: each costs 0.05-1 s of an emulated boot.

# No password, no way in (Debian's root has '*'): a lab console comes from credentials that whoever starts the machine gives it.
grep -q '^root:\*:' $R/etc/shadow
ln -sfn /usr/lib/systemd/system/multi-user.target $R/etc/systemd/system/default.target

disable getty@tty1.service nfs-client.target remote-fs.target machines.target systemd-pstore.service
mask \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer logrotate.timer man-db.timer \
  e2scrub_all.timer e2scrub_reap.service systemd-tmpfiles-clean.timer \
  getty@tty1.service getty-static.service systemd-logind.service systemd-user-sessions.service \
  systemd-ask-password-wall.path systemd-ask-password-console.path \
  systemd-firstboot.service systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-journal-flush.service \
  systemd-machine-id-commit.service systemd-sysusers.service systemd-update-done.service ldconfig.service \
  systemd-pstore.service systemd-hibernate-clear.service systemd-binfmt.service systemd-udev-settle.service \
  systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-pcrmachine.service systemd-pcrphase.service \
  systemd-pcrphase-sysinit.service systemd-pcrextend.socket systemd-pcrlock.socket systemd-sysext.socket \
  systemd-creds.socket systemd-hostnamed.socket systemd-importd.socket systemd-initctl.socket \
  systemd-timesyncd.service systemd-networkd-wait-online.service systemd-network-generator.service \
  systemd-udev-load-credentials.service modprobe@.service systemd-sysctl.service systemd-modules-load.service \
  kmod-static-nodes.service systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup-dev.service \
  systemd-remount-fs.service systemd-random-seed.service tmp.mount systemd-networkd-persistent-storage.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
  proc-sys-fs-binfmt_misc.automount run-lock.mount \
  rpcbind.service rpcbind.socket rpc-statd.service rpc-statd-notify.service rpc-gssd.service rpc-svcgssd.service \
  auth-rpcgss-module.service nfs-blkmap.service

without udev/rules.d \
  50-firmware.rules 55-dm.rules 60-autosuspend.rules 60-cdrom_id.rules 60-dmi-id.rules 60-drm.rules 60-evdev.rules \
  60-fido-id.rules 60-infiniband.rules 60-input-id.rules 60-persistent-alsa.rules 60-persistent-input.rules \
  60-persistent-storage-dm.rules 60-persistent-storage-mtd.rules 60-persistent-storage-tape.rules 60-persistent-v4l.rules \
  60-sensor.rules 60-serial.rules 64-btrfs.rules 70-camera.rules 70-joystick.rules 70-memory.rules 70-mouse.rules \
  70-power-switch.rules 70-touchpad.rules 70-uaccess.rules 71-seat.rules 73-seat-late.rules 73-special-net-names.rules \
  75-net-description.rules 75-probe_mtd.rules 78-sound-card.rules 80-debian-compat.rules 81-net-dhcp.rules \
  90-iocost.rules 95-dm-notify.rules 99-nfs.rules
without systemd/system-generators \
  rpc-pipefs-generator systemd-debug-generator systemd-gpt-auto-generator systemd-hibernate-resume-generator \
  systemd-import-generator systemd-rc-local-generator systemd-ssh-generator systemd-system-update-generator \
  systemd-sysv-generator systemd-tpm2-generator
without tmpfiles.d \
  20-systemd-ssh-generator.conf credstore.conf home.conf journal-nocow.conf libselinux1.conf passwd.conf portables.conf \
  provision.conf rpcbind.conf systemd-nspawn.conf systemd-pstore.conf x11.conf

unpack_modules virtio_net virtio_blk virtio_rng virtio_balloon af_packet autofs4 nfsv4
# Tells systemd that nothing of /etc and /var is older than /usr.
touch -d "@$SOURCE_DATE_EPOCH" $R/etc/.updated $R/var/.updated
