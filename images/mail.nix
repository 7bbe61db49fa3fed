# Mail server: postfix takes mail in, dovecot gives it out by IMAP; accounts and spool on file server 2.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "server";
  packages = [ "dovecot-imapd" "dovecot-lmtpd" "postfix" ];
  files = [ ./mail ];
  custom = [ ./lib/units.sh ./mail.sh ];
  agent = true;
}
