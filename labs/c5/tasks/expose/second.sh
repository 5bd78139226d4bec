# on: base
# In a terminal outside:
#     knetsim create connector C0.backend -k backend:8080 \
#         --container c4 --port 8090
#     knetsim create listener C1.backend -k backend:8080
#
# In the routers' own files, and by the service's address.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
# A section more in a router's file, which ends with the end of the list.
add() { on "$1" sed -i "\$s|]\$|, $2]|" /etc/skupper-router/skrouterd.json; }
add C0w1 '["tcpConnector", {"name": "c4", "host": "100.64.12.1", "port": "8090", "address": "backend:8080"}]'
add C1w1 '["tcpListener", {"name": "c4", "host": "0.0.0.0", "port": "1028", "address": "backend:8080"}]'
pkill -HUP -f '[k]netsim router'
for _ in {1..100}; do
    on C1w1 curl -s localhost:1028 && break
    sleep 0.1
done
