# on: base
# A connector and a listener, of two addresses.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
add='import json, sys
file = "/etc/skupper-router/skrouterd.json"
sections = json.load(open(file)) + [json.loads(sys.argv[1])]
json.dump(sections, open(file, "w"), indent=2)'
on C0w1 python3 -c "$add" '["tcpConnector", {"name": "c4", "host": "100.64.12.1", "port": "8090", "address": "backend:8090"}]'
on C1w1 python3 -c "$add" '["tcpListener", {"name": "c4", "host": "0.0.0.0", "port": "1028", "address": "backend:8080"}]'
pkill -HUP -f '[k]netsim router'
sleep 1
