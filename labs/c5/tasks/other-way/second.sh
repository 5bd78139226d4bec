# on: base
# In the routers' own files, and by the service's address.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
add='import json, sys
file = "/etc/skupper-router/skrouterd.json"
sections = json.load(open(file)) + [json.loads(sys.argv[1])]
json.dump(sections, open(file, "w"), indent=2)'
on C1w1 python3 -c "$add" '["tcpConnector", {"name": "c5", "host": "100.64.12.2", "port": "8090", "address": "reports:8080"}]'
on C0w1 python3 -c "$add" '["tcpListener", {"name": "c5", "host": "0.0.0.0", "port": "1028", "address": "reports:8080"}]'
pkill -HUP -f '[k]netsim router'
for _ in {1..100}; do
    on C0w1 curl -s localhost:1028 && break
    sleep 0.1
done
