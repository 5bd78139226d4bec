# on: base
# Connector and listener both in C1: its own pods reach it by C1w1:1029 now, which they had no need of.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
# A section more in a router's file, which ends with the end of the list.
add() { on "$1" sed -i "\$s|]\$|, $2]|" /etc/skupper-router/skrouterd.json; }
add C1w1 '["tcpConnector", {"name": "c5", "host": "100.64.12.2", "port": "8090", "address": "reports:8080"}]'
add C1w1 '["tcpListener", {"name": "c5", "host": "0.0.0.0", "port": "1029", "address": "reports:8080"}]'
pkill -HUP -f '[k]netsim router'
sleep 0.5
on C1w1 curl -s localhost:1029
