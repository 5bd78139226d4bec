# on: base
# A connector and a listener, of two addresses.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
# A section more in a router's file, which ends with the end of the list.
add() { on "$1" sed -i "\$s|]\$|, $2]|" /etc/skupper-router/skrouterd.json; }
add C0w1 '["tcpConnector", {"name": "c4", "host": "100.64.12.1", "port": "8090", "address": "backend:8090"}]'
add C1w1 '["tcpListener", {"name": "c4", "host": "0.0.0.0", "port": "1028", "address": "backend:8080"}]'
pkill -HUP -f '[k]netsim router'
sleep 1
