# on: base
# For containers alone: the workers' own packets don't pass prerouting.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
for name in a1 a2; do
    on C0w2 ip netns add $name
    on C0w2 env CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2 cnitool add C0w2 /var/run/netns/$name
done
address() { on C0w2 ip netns exec "$1" hostname -I | tr -d ' '; }
map="{ 0 : $(address a1), 1 : $(address a2) }"
for worker in C0w1 C0w2 C0w3; do
    on $worker nft -f - <<<"table ip mine {
        chain pre {
            type nat hook prerouting priority -110
            ip daddr 100.64.10.9 dnat to numgen random mod 2 map $map
        }
    }"
done
