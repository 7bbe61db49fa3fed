name_host
mkdir -p $R/data/mail
# Owner of every mailbox in /data/mail/spool.
inr groupadd -g 5000 vmail
inr useradd -u 5000 -g 5000 -M -d /data/mail/spool -s /usr/sbin/nologin vmail
# Directories of the queue.
inr postfix check
disable postfix.service postfix-resolvconf.service postfix-resolvconf.path dovecot.service dovecot.socket
mask postfix-resolvconf.service postfix-resolvconf.path
enable data-mail.automount postfix.service dovecot.service
