# Reads Nix's internal-json log: one line as each derivation starts and ends, with seconds since the start.
# The end of a failed one's own log follows Nix's message.
function name(drv) { sub(/^\/nix\/store\/[a-z0-9]*-/, "", drv); sub(/\.drv$/, "", drv); return drv }
function say(text) { printf "  %4d s  %s\n", systime() - began, text; fflush() }
function clean(text) {
  gsub(/\\n/, "\n", text); gsub(/\\t/, "\t", text); gsub(/\\"/, "\"", text); gsub(/\\u001b\[[0-9;]*m/, "", text)
  gsub(/\\\\/, "\\", text); gsub(/\033\[[0-9;]*m/, "", text)
  return text
}
# The last lines that a derivation printed.
function tail(id,    n) {
  n = lines[id] > kept ? lines[id] - kept : 0
  for (; n < lines[id]; n++) print "  | " log_line[id, n % kept]
  delete lines[id]
}
BEGIN { began = systime(); kept = 80 }
/^@nix \{"action":"start".*"type":105/ {
  match($0, /"id":[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5)
  match($0, /\/nix\/store\/[^"]*\.drv/); what[id] = name(substr($0, RSTART, RLENGTH)); since[id] = systime()
  say("building " what[id]); next
}
/^@nix \{"action":"stop"/ {
  match($0, /"id":[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5)
  if (id in what) { say("built " what[id] " (" systime() - since[id] " s)"); ended = id; delete what[id] }
  next
}
/^@nix \{"action":"result".*"type":101/ {
  match($0, /"id":[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5)
  sub(/.*"fields":\["/, ""); sub(/"\],"id".*/, "")
  log_line[id, lines[id]++ % kept] = clean($0); next
}
/^@nix \{"action":"msg".*"level":0/ {
  sub(/.*"msg":"/, ""); sub(/","raw_msg":.*|"\}$/, "")
  print clean($0)
  if (/failed with exit code/) tail(ended)
  next
}
/^@nix / { next }
{ print }
