# on: base
# In a second terminal: knetsim delete container C0w2.c2
# Here by CNI, and the cluster doesn't know: a fixed list doesn't care.
on() {
    local node=$(pgrep -f "^knetsim: $1 *\$")
    nsenter --net --mount --uts -t "$node" "${@:2}"
}
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2
on C0w2 cnitool del C0w2 /var/run/netns/c2
on C0w2 ip netns del c2
for _ in {1..30}; do
    on C0w1 ip netns exec c1 ping -c 1 -W 0.1 100.64.10.1 || true
done
