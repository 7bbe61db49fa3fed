name_host
mkdir -p $R/data/mail
# Owner of every mailbox in /data/mail/spool.
inr groupadd -g 5000 vmail
inr useradd -u 5000 -g 5000 -M -d /data/mail/spool -s /usr/sbin/nologin vmail
# Directories of the queue: what `postfix check` would make, which drops the environment that the builder needs.
inr install -d -o postfix -g root -m 700 /var/spool/postfix/{active,bounce,corrupt,defer,deferred,flush,hold,incoming,private,saved,trace}
inr install -d -o postfix -g postdrop -m 730 /var/spool/postfix/maildrop
inr install -d -o postfix -g postdrop -m 710 /var/spool/postfix/public
inr install -d -o root -g root -m 755 /var/spool/postfix/pid
inr install -d -o postfix -g postfix -m 700 /var/lib/postfix
disable postfix.service postfix-resolvconf.service postfix-resolvconf.path dovecot.service dovecot.socket
mask postfix-resolvconf.service postfix-resolvconf.path
enable data-mail.automount postfix.service dovecot.service
# A database of local aliases, which nothing reads; it holds what happened to be in memory when it was made.
rm -f $R/etc/aliases.db
