# on: base
# By CNI, and without the cluster's knowing: a fixed list doesn't care.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
on C0w2 env CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2 cnitool del C0w2 /var/run/netns/c2
on C0w2 ip netns del c2
for _ in {1..30}; do on C0w1 ip netns exec c1 ping -c 1 -W 0.1 100.64.10.1 || true; done
