name_host
mkdir -p $R/share
enable share.mount
