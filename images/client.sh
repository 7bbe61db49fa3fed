name_host
mkdir -p $R/usr/lib/ringward
ln -sfn ../lib/ringward/ringward $R/usr/bin/ringward
