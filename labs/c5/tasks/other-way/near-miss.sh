# on: C1w1
# Connector and listener both in C1: its own pods reach it by C1w1:1029 now, which they had no need of.
add='import json, sys
file = "/etc/skupper-router/skrouterd.json"
sections = json.load(open(file)) + [json.loads(section) for section in sys.argv[1:]]
json.dump(sections, open(file, "w"), indent=2)'
python3 -c "$add" '["tcpConnector", {"name": "c5", "host": "100.64.12.2", "port": "8090", "address": "reports:8080"}]' \
    '["tcpListener", {"name": "c5", "host": "0.0.0.0", "port": "1029", "address": "reports:8080"}]'
pkill -HUP -f '[k]netsim router'
sleep 0.5
curl -s localhost:1029
