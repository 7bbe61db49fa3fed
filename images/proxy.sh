name_host
enable squid.service
