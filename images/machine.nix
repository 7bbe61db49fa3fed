# A real machine (server, file server or client) as opposed to a backup VM. It takes its address,
# its keys and the names of its peers from the *site medium*, a small vfat volume labelled RINGWARD, so that no image holds any.
{
  kind = "layer";
  files = [ ./machine ];
  custom = [ ./lib/units.sh ./machine.sh ];
}
