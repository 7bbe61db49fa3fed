# A backup VM: its service and the guest agent. It gets no address at boot (the server that resumes it
# gives one), no site medium, and no mount in its saved state (trees of file server 2 are
# automounted on first use).
{
  kind = "layer";
  custom = [ ./lib/units.sh ./vm.sh ];
}
