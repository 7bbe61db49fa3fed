name_host
mkdir -p $R/data
enable data.mount
