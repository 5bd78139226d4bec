# on: base
# In a terminal outside:
#     knetsim create connector C1.reports -k reports:8080 \
#         --container c5 --port 8090
#     knetsim create listener C0.reports -k reports:8080
#
# In the routers' own files, and by the service's address.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
# A section more in a router's file, which ends with the end of the list.
add() { on "$1" sed -i "\$s|]\$|, $2]|" /etc/skupper-router/skrouterd.json; }
add C1w1 '["tcpConnector", {"name": "c5", "host": "100.64.12.2", "port": "8090", "address": "reports:8080"}]'
add C0w1 '["tcpListener", {"name": "c5", "host": "0.0.0.0", "port": "1028", "address": "reports:8080"}]'
pkill -HUP -f '[k]netsim router'
for _ in {1..100}; do
    on C0w1 curl -s localhost:1028 && break
    sleep 0.1
done
