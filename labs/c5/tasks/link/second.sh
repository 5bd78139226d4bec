# on: base
# In a terminal outside:
#     knetsim create token C0.t1 > /tmp/t1
#     knetsim create link C1.c0 --token /tmp/t1
#
# By hand, in the routers' own files, as the slides do it: a door of its own, and a connector that leads there.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
# A section more in a router's file, which ends with the end of the list.
add() { on "$1" sed -i "\$s|]\$|, $2]|" /etc/skupper-router/skrouterd.json; }
add C0w1 '["listener", {"name": "by-hand", "role": "inter-router", "host": "0.0.0.0", "port": "55672"}]'
add C1w1 '["connector", {"name": "by-hand", "role": "inter-router", "host": "10.0.0.3", "port": "55672"}]'
pkill -HUP -f '[k]netsim router'
for _ in {1..100}; do
    on C1w1 ss -Htn state established dst :55672 | grep -q . && break
    sleep 0.1
done
sleep 3
