# Reads Nix's internal-json log: one line as each derivation starts and ends, with seconds since the start.
# The log of a failed one is in Nix's own message.
function name(drv) { sub(/^\/nix\/store\/[a-z0-9]*-/, "", drv); sub(/\.drv$/, "", drv); return drv }
function say(text) { printf "  %4d s  %s\n", systime() - began, text; fflush() }
BEGIN { began = systime() }
/^@nix \{"action":"start".*"type":105/ {
  match($0, /"id":[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5)
  match($0, /\/nix\/store\/[^"]*\.drv/); what[id] = name(substr($0, RSTART, RLENGTH)); since[id] = systime()
  say("building " what[id]); next
}
/^@nix \{"action":"stop"/ {
  match($0, /"id":[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5)
  if (id in what) { say("built " what[id] " (" systime() - since[id] " s)"); delete what[id] }
  next
}
/^@nix \{"action":"result".*"type":101/ { if (log_file) { print >> log_file }; next }
/^@nix \{"action":"msg".*"level":0/ {
  sub(/.*"msg":"/, ""); sub(/","raw_msg":.*|"\}$/, "")
  gsub(/\\n/, "\n"); gsub(/\\"/, "\""); gsub(/\\u001b\[[0-9;]*m/, ""); gsub(/\\\\/, "\\"); gsub(/\033\[[0-9;]*m/, "")
  print; next
}
/^@nix / { next }
{ print }
