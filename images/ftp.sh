name_host
mkdir -p $R/data/ftp
enable data-ftp.automount vsftpd.service
