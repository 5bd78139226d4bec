# on: base
# By hand, in the routers' own files, as the slides do it: a door of its own, and a connector that leads there.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
add='import json, sys
file = "/etc/skupper-router/skrouterd.json"
sections = json.load(open(file)) + [json.loads(sys.argv[1])]
json.dump(sections, open(file, "w"), indent=2)'
on C0w1 python3 -c "$add" '["listener", {"name": "by-hand", "role": "inter-router", "host": "0.0.0.0", "port": "55672"}]'
on C1w1 python3 -c "$add" '["connector", {"name": "by-hand", "role": "inter-router", "host": "10.0.0.3", "port": "55672"}]'
pkill -HUP -f '[k]netsim router'
for _ in {1..100}; do
    on C1w1 ss -Htn state established dst :55672 | grep -q . && break
    sleep 0.1
done
sleep 3
