# Kernel parameters of every image. What systemd-sysctl would set stands here, a process less at boot:
# an oops is a crash (neighbours take over from a dead server, not from a limping one), and an address is
# answered for only on the interface that holds it.
"net.ifnames=0 quiet panic=10 oops=panic sysctl.net.ipv4.conf.all.arp_ignore=1 sysctl.net.ipv4.conf.all.arp_announce=2"
