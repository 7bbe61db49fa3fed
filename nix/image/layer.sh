# Parent's root, plus packages, files and scripts of this role, in /build/root; root_tar writes it out.

LIBFAKE=/usr/lib/x86_64-linux-gnu/libfakeroot
# Nobody reads manuals on an appliance; licences stay.
SKIP=(/usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug)
DPKG=(--force-unsafe-io --force-confold --path-exclude=/usr/share/doc/* --path-include=/usr/share/doc/*/copyright)
for d in "${SKIP[@]}"; do DPKG+=("--path-exclude=$d/*"); done

# Runs a command in the root.
inr() {
  chroot $R /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC INITRD=No \
    DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
    FAKEROOTDONTTRYCHOWN=1 FAKEROOTKEY="$FAKEROOTKEY" LD_PRELOAD="$LD_PRELOAD" "$@"
}

# Runs a command and shows its output only when it fails.
quietly() {
  "$@" > /build/log 2>&1 || { tail -80 /build/log; echo "failed: $*" | cut -c1-300; exit 1; }
}

mount_root() {
  mkdir -p $R$LIBFAKE $R/nix/store
  mount --rbind /proc $R/proc
  mount --rbind /dev $R/dev
  mount -t tmpfs tmpfs $R/run
  mount --rbind /nix/store $R/nix/store
  mount --bind $LIBFAKE $R$LIBFAKE
  printf '#!/bin/sh\nexit 101\n' > $R/usr/sbin/policy-rc.d
  chmod 755 $R/usr/sbin/policy-rc.d
}

umount_root() {
  umount -l $R$LIBFAKE $R/nix/store $R/run $R/dev $R/proc
  rm -rf ${R:?}$LIBFAKE $R/nix $R/usr/sbin/policy-rc.d
}

# The lowest layer: unpack what dpkg needs to run, then let dpkg install it over itself.
bootstrap_root() {
  say "unpack the essential packages"
  local exclude=() d
  for d in "${SKIP[@]}"; do exclude+=("--exclude=.$d/*"); done
  for d in $(cat essential); do
    dpkg-deb --fsys-tarfile "$d" | tar -x --keep-directory-symlink "${exclude[@]}" -C $R -f -
  done
  cp $R/usr/share/base-passwd/passwd.master $R/etc/passwd
  cp $R/usr/share/base-passwd/group.master $R/etc/group
  : > $R/var/lib/dpkg/status; : > $R/var/lib/dpkg/available
  : > $R/etc/machine-id; : > $R/etc/fstab; : > $R/etc/resolv.conf; echo localhost > $R/etc/hostname
  mount_root
  say "configure the essential packages"
  # shellcheck disable=SC2046
  quietly inr dpkg "${DPKG[@]}" --force-depends --install $(cat essential)
}

# What differs from build to build, or must be made on the machine itself. An empty machine-id is
# filled at boot ("uninitialized" would ask questions on the console).
clean_root() {
  rm -rf $R/var/lib/apt/lists/* $R/var/cache/apt/* $R/var/log/* $R/var/cache/ldconfig/aux-cache $R/var/cache/debconf/*-old \
    $R/var/lib/dpkg/*-old $R/etc/*- $R/etc/ssh/ssh_host_* $R/tmp/* $R/var/tmp/* $R/root/.[a-z]* $R/var/lib/systemd/random-seed \
    $R/var/lib/dbus/machine-id $R/etc/.pwd.lock $R/etc/ssl/certs/ssl-cert-snakeoil.pem $R/etc/ssl/private/ssl-cert-snakeoil.key
  mkdir -p $R/var/log $R/var/cache/apt/archives/partial $R/var/lib/apt/lists/partial
  : > $R/etc/machine-id
}

if [ -n "$parentTar" ]; then
  say "unpack the parent layer"
  tar -x --numeric-owner --xattrs --xattrs-include='*' -C $R -f "$parentTar"
  # ldconfig is static, so fakeroot does not see it replace these: the next file to get such an inode would be taken for one of them.
  rm -f $R/etc/ld.so.cache $R/var/cache/ldconfig/aux-cache
  mount_root
else
  bootstrap_root
fi

if [ -s debs ]; then
  say "install $(wc -w < debs) packages"
  options=(-o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0)
  for o in "${DPKG[@]}"; do options+=(-o "Dpkg::Options::=$o"); done
  # shellcheck disable=SC2046
  quietly inr apt-get "${options[@]}" -y install $(cat debs)
  inr dpkg --audit
fi

say "customise"
for tree in $files; do
  ( cd "$tree"
    find . -type d ! -name . -exec install -d -m 755 "$R/{}" \;
    find . -type f ! -perm /111 -exec install -m 644 {} "$R/{}" \;
    find . -type f -perm /111 -exec install -m 755 {} "$R/{}" \;
    find . -type l -exec cp -P {} "$R/{}" \; )
done
for script in $custom; do . "$script"; done

# Nix forbids setuid bits: fakeroot remembers them but leaves the real file unreadable (mode 600).
find $R -xdev -type f -perm /6000 | while read -r f; do LD_PRELOAD='' chmod 755 "$f"; done

umount_root
clean_root
# The finished root as a tar on stdout, the same for the same root.
root_tar() {
  tar --sort=name --mtime=@"$SOURCE_DATE_EPOCH" --clamp-mtime --numeric-owner --xattrs --format=pax \
    --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -C $R -cf - .
}
