name_host
mkdir -p $R/data/www
disable apache2.service apache-htcacheclean.service
enable data-www.automount apache2.service
