# on: base
# In a second terminal:
#   knetsim create container C0w2.a1 C0w2.a2
#   knetsim create service C0.mine --vip 100.64.10.9 a1 a2
# Here by hand, one rule with a map, in a table of its own on each worker.
on() {
    local node=$(pgrep -f "^knetsim: $1 *\$")
    nsenter --net --mount --uts -t "$node" "${@:2}"
}
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2
for name in a1 a2; do
    on C0w2 ip netns add $name
    on C0w2 cnitool add C0w2 /var/run/netns/$name
done
address() { on C0w2 ip netns exec "$1" hostname -I | tr -d ' '; }
map="{ 0 : $(address a1), 1 : $(address a2) }"
for worker in C0w1 C0w2 C0w3; do
    on $worker nft -f - <<<"table ip mine {
        chain pre {
            type nat hook prerouting priority -110
            ip daddr 100.64.10.9 dnat to numgen random mod 2 map $map
        }
        chain out {
            type nat hook output priority -110
            ip daddr 100.64.10.9 dnat to numgen random mod 2 map $map
        }
        chain post {
            type nat hook postrouting priority 90
            ip saddr != 11.0.0.0/8 ct status dnat masquerade
        }
    }"
done
for _ in {1..40}; do
    on C0w1 ip netns exec c1 ping -c 1 100.64.10.9
done
