# Words for the scripts of layers and roles. R is the root that is being made, `inr COMMAND` runs in it.

# No unit of these names, whoever asks for it.
mask() {
  local unit
  for unit; do ln -sfn /dev/null "$R/etc/systemd/system/$unit"; done
}

# Not started at boot; others may still ask for it.
disable() {
  local unit
  for unit; do rm -f "$R"/etc/systemd/system/*.{wants,requires}/"$unit"; done
}

# Started at boot. Plain links: `systemctl enable` would also pull in whatever [Install] drags along.
enable() {
  local unit dir
  mkdir -p "$R/etc/systemd/system/multi-user.target.wants"
  for unit; do
    dir=/usr/lib/systemd/system
    [ ! -e "$R/etc/systemd/system/$unit" ] || dir=/etc/systemd/system
    ln -sfn "$dir/$unit" "$R/etc/systemd/system/multi-user.target.wants/$unit"
  done
}

# Configuration of this kind (udev rules, tmpfiles.d, generators) that the packages bring and we do not use.
without() {
  local kind=$1 name
  shift
  mkdir -p "$R/etc/$kind"
  for name; do ln -sfn /dev/null "$R/etc/$kind/$name"; done
}

# Modules that every boot loads stand uncompressed: unpacking xz is slow under emulation.
unpack_modules() {
  local kernel module path
  kernel=$(ls "$R/usr/lib/modules")
  for module; do
    inr modprobe -S "$kernel" --show-depends "$module" 2> /dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | sort -u | while read -r path; do
    case $path in *.xz) xz -d "$R$path" ;; esac
  done
  inr depmod "$kernel"
}

# The machine is called what its image is called (`name`, from the builder).
name_host() {
  rm -f "$R/etc/hostname"
  echo "${name#image-}" > "$R/etc/hostname"
}
