# nfsdcld wants the pipe file system. It remembers clients, so that a restart with none waits for no grace period.
rm $R/etc/systemd/system-generators/rpc-pipefs-generator
without systemd/system-generators nfs-server-generator
disable fsidd.service
mask nfs-idmapd.service
enable nfs-server.service
unpack_modules nfsd
