mkdir -p $R/etc/ringward $R/etc/systemd/system/local-fs.target.wants
ln -sfn ../etc-ringward.mount $R/etc/systemd/system/local-fs.target.wants/etc-ringward.mount
ln -sfn /run/ringward-site/lan.network $R/etc/systemd/network/50-lan.network
ln -sfn /run/ringward-site/hosts $R/etc/hosts
enable systemd-networkd.service
unpack_modules bridge vfat nls_cp437 nls_ascii
