disable systemd-networkd.service systemd-networkd.socket
mask systemd-networkd.service systemd-networkd.socket systemd-networkd-varlink.socket
