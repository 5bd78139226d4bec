# on: base
# By hand, so nobody has told the cluster: the rules still lead there.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
on C0w2 env CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2 cnitool del C0w2 /var/run/netns/web1
on C0w2 ip netns del web1
for _ in {1..6}; do on C0w1 ip netns exec c1 ping -c 1 -W 0.1 100.64.10.2 || true; done
